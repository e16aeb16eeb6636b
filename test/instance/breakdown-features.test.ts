// Parts of scores over gradient stores: against explicit linear algebra, and against features of tokens, which take another path.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { breakdown } from "../../lib/instance/breakdown";
import { dataInf } from "../../lib/instance/data-inf";
import { appendToGradientStore, buildGradientStore } from "../../lib/instance/gradient-store";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { queryFeatures, storeSimilarity, type StoreSimilarityOptions } from "../../lib/instance/store/scores";
import { trak } from "../../lib/instance/trak";
import { concatInstances } from "../../lib/data/instances";
import type { Breakdown, InstanceAttribution } from "../../types/results";
import type { GradientStore, QueryFeatures } from "../../types/store";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { dampedMoments, dot, type Features, solved } from "./feature-algebra";
import type { GoldenPair } from "./golden-pair";
import { gradientOf, tokenGradients } from "./token-gradients";
import { storedPair } from "./stored-pair";

/** Features and their products are floats. */
const floatTolerance = 1e-4;
const damping = 0.2;
const kinds = ["module", "trainToken", "queryToken"] as const;
const allPairs = Array.from({ length: 18 }, (_, i) => [Math.floor(i / 6), i % 6] as const);

let root: string;
let pair: GoldenPair;
let store: GradientStore;
let queries: QueryFeatures;
let trainFeatures: Features;
let queryRows: Features;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attribution-breakdown-test-"));
  ({ pair, store, queries, trainFeatures, queryRows } = await storedPair(join(root, "store")));
});
afterAll(async () => {
  pair.model.close();
  await rm(root, { recursive: true, force: true });
});

const partsOf = ({ pairs }: Breakdown) => pairs.flatMap(({ parts }) => Array.from(parts));
const methods: readonly StoreSimilarityOptions[] = [
  { preconditioner: "none" },
  { preconditioner: "none", similarity: "cosine" },
  { preconditioner: "gaussNewton" },
  { preconditioner: "gaussNewton", similarity: "cosine" },
  { preconditioner: "dataInf" },
  { preconditioner: "trak" },
];
const named = methods.map((options) => [`${options.preconditioner} ${options.similarity ?? "dot"}`, options] as const);

function expectSums({ pairs }: Breakdown, { scores, train }: InstanceAttribution, tolerance = floatTolerance): void {
  expect(
    relativeDifference(
      pairs.map(({ score }) => score),
      pairs.map(({ query, train: z }) => scores[query * train + z]),
    ),
  ).toBeLessThan(tolerance);
}

test.each(named)(
  "parts of %s sum to the scores, of a store with and without its training instances",
  async (_name, options) => {
    const attribution = await storeSimilarity(store, queries, { damping, ...options, topK: undefined });
    for (const by of kinds) {
      const made = await breakdown(pair.model, pair.train, pair.queries, attribution, { by, store, pairs: allPairs });
      expectSums(made, attribution);
      if (by !== "trainToken")
        expect(partsOf(await breakdown(pair.model, store, pair.queries, attribution, { by, pairs: allPairs }))).toEqual(
          partsOf(made),
        );
      const own = await breakdown(pair.model, pair.train, pair.queries, attribution, {
        by,
        pairs: allPairs,
        batchTokens: 8,
      }); // a store for the call
      expect(relativeDifference(partsOf(own), partsOf(made))).toBeLessThan(1e-5);
    }
  },
);

test("parts of Gauss-Newton by module are its formula in each module, and by token the products with features of tokens", async () => {
  const attribution = await storeSimilarity(store, queries, { preconditioner: "gaussNewton", damping });
  const { offsets } = trainFeatures;
  const turned = (rows: number[][]) =>
    rows.map((row) =>
      Array.from({ length: offsets.length - 1 }, (_, m) => {
        const own = trainFeatures.rows.map((each) => each.slice(offsets[m], offsets[m + 1]));
        return solved(dampedMoments(own, damping, 6), [row.slice(offsets[m], offsets[m + 1])])[0];
      }),
    );
  const [ofQueries, ofTrain] = [turned(queryRows.rows), turned(trainFeatures.rows)];
  const modules = allPairs.flatMap(([q, z]) =>
    ofQueries[q].map((part, m) => dot(part, trainFeatures.rows[z].slice(offsets[m], offsets[m + 1]))),
  );
  const split = (by: Breakdown["by"]) =>
    breakdown(pair.model, pair.train, pair.queries, attribution, { by, store, pairs: allPairs });
  expect(relativeDifference(partsOf(await split("module")), modules)).toBeLessThan(floatTolerance);
  const tokens = async (instances: typeof pair.train) => {
    const { features, width } = await queryFeatures(pair.model, instances, store, { per: "token" });
    return Array.from({ length: instances.size }, (_, i) =>
      Array.from({ length: instances.rowOffsets[i + 1] - instances.rowOffsets[i] }, (__, t) =>
        Array.from(features.subarray((instances.rowOffsets[i] + t) * width, (instances.rowOffsets[i] + t + 1) * width)),
      ),
    );
  };
  const [trainTokens, queryTokens] = [await tokens(pair.train), await tokens(pair.queries)];
  expect(
    relativeDifference(
      partsOf(await split("trainToken")),
      allPairs.flatMap(([q, z]) => trainTokens[z].map((row) => dot(ofQueries[q].flat(), row))),
    ),
  ).toBeLessThan(floatTolerance);
  expect(
    relativeDifference(
      partsOf(await split("queryToken")),
      allPairs.flatMap(([q, z]) => queryTokens[q].map((row) => dot(ofTrain[z].flat(), row))),
    ),
  ).toBeLessThan(floatTolerance);
});

test.each(["gaussian", "rademacher", "pca", "dense", "sparse", "factoredSparse"] as const)(
  "parts of a %s projection are products with its features of tokens, and its modules' parts sum to the scores",
  async (projection) => {
    const own = await buildGradientStore(pair.model, pair.train, join(root, projection), {
      parameters: projection === "pca" ? ["layers.*"] : ["*"],
      rank: 3,
      precision: "float32",
      projection,
    });
    const features = await queryFeatures(pair.model, pair.queries, own);
    const attribution = await storeSimilarity(own, features, { preconditioner: "none" });
    const tokens = await queryFeatures(pair.model, pair.train, own, { per: "token" });
    const made = await breakdown(pair.model, pair.train, pair.queries, attribution, {
      by: "trainToken",
      store: own,
      pairs: allPairs,
    });
    const row = ({ features: values, width }: QueryFeatures, at: number) =>
      Array.from(values.subarray(at * width, (at + 1) * width));
    const wanted = allPairs.flatMap(([q, z]) =>
      Array.from({ length: pair.train.rowOffsets[z + 1] - pair.train.rowOffsets[z] }, (_, t) =>
        dot(row(features, q), row(tokens, pair.train.rowOffsets[z] + t)),
      ),
    );
    expect(relativeDifference(partsOf(made), wanted)).toBeLessThan(floatTolerance);
    const byModule = await breakdown(pair.model, pair.train, pair.queries, attribution, {
      store: own,
      pairs: allPairs,
    });
    expect(byModule.modules).toEqual(own.settings.modules);
    expectSums(byModule, attribution);
    if (projection === "dense")
      await expect(breakdown(pair.model, own, pair.queries, attribution)).rejects.toMatchObject(
        refusal("missing", /dense/),
      );
  },
);

test.each([
  ["gaussian", 3],
  ["gaussian", 0],
  ["rademacher", 4],
  ["dense", 3],
  ["sparse", 3],
  ["factoredSparse", 3],
] as const)(
  "parts of embeddings, tied outputs and norms (%s, rank %i) are products with features of tokens",
  async (projection, rank) => {
    using model = await open("gpt2", { dtype: "float64" });
    const [train, asked] = [raggedInstances("causalLM", 4), raggedInstances("causalLM", 2)];
    const own = await buildGradientStore(model, train, join(root, `tied-${projection}-${rank}`), {
      parameters: ["embedding.*", "*orm", "layers.1.mlp.down"],
      rank,
      precision: "float32",
      projection,
    });
    const features = await queryFeatures(model, asked, own);
    const attribution = await storeSimilarity(own, features);
    const tokens = await queryFeatures(model, train, own, { per: "token" });
    const pairs = [
      [0, 0],
      [1, 2],
      [0, 3],
    ] as const;
    const row = ({ features: values, width }: QueryFeatures, at: number) =>
      Array.from(values.subarray(at * width, (at + 1) * width));
    const wanted = pairs.flatMap(([q, z]) =>
      Array.from({ length: train.rowOffsets[z + 1] - train.rowOffsets[z] }, (_, t) =>
        dot(row(features, q), row(tokens, train.rowOffsets[z] + t)),
      ),
    );
    const made = await breakdown(model, train, asked, attribution, { by: "trainToken", store: own, pairs });
    expect(relativeDifference(partsOf(made), wanted)).toBeLessThan(floatTolerance);
    expectSums(made, attribution);
    const byModule = await breakdown(model, train, asked, attribution, { store: own, pairs });
    expectSums(byModule, attribution);
    expect(byModule.modules).toContain("embedding.token");
  },
);

describe("features of tokens", () => {
  test("are PyTorch's gradients of tokens, where nothing is projected", async () => {
    const exact = await buildGradientStore(pair.model, pair.train, join(root, "exact"), {
      parameters: ["layers.1.mlp.down"],
      rank: 0,
      precision: "float32",
    });
    const {
      features,
      width,
      per,
      queries: rows,
      queryIds,
    } = await queryFeatures(pair.model, pair.queries, exact, { per: "token" });
    const { queries: tokens } = await tokenGradients(pair, ["layers.1.mlp.down"]);
    expect([per, rows, width]).toEqual(["token", tokens.flat().length, 72]);
    expect(queryIds.slice(0, 2)).toEqual(["queries 0:0", "queries 0:1"]);
    // A store's row has the bias as the input side's last column, the golden one after all weights.
    const asStored = (row: number[]) =>
      Array.from({ length: 8 }, (_, output) => [...row.slice(output * 8, output * 8 + 8), row[64 + output]]).flat();
    expect(relativeDifference(features, tokens.flat().flatMap(asStored))).toBeLessThan(1e-6);
    const whole = await queryFeatures(pair.model, pair.queries, exact);
    expect(
      relativeDifference(
        whole.features,
        tokens.flatMap((each) => asStored(gradientOf(each))),
      ),
    ).toBeLessThan(1e-6);
  });

  test.each(["llama", "gpt2", "gpt-neox-choice", "opt-classification"])(
    "of %s sum to their instance's, head and batches of any size included",
    async (name) => {
      using model = await open(name, { dtype: "float64" });
      const instances = raggedInstances(model.architecture.head.kind, 4);
      const own = await buildGradientStore(model, instances, join(root, name), {
        parameters: ["*"],
        rank: 4,
        precision: "float32",
      });
      const whole = await queryFeatures(model, instances, own);
      for (const batchTokens of [1, 4096]) {
        const tokens = await queryFeatures(model, instances, own, { per: "token", batchTokens });
        const sums = new Float64Array(whole.features.length);
        const { rowOffsets, groupOffsets } = instances;
        for (let i = 0; i < instances.size; i++)
          for (let t = rowOffsets[groupOffsets[i]]; t < rowOffsets[groupOffsets[i + 1]]; t++)
            for (let at = 0; at < own.width; at++) sums[i * own.width + at] += tokens.features[t * own.width + at];
        expect(relativeDifference(sums, whole.features)).toBeLessThan(1e-5);
      }
    },
  );

  test.each(named.filter(([, { similarity }]) => similarity !== "cosine"))(
    "score with %s so that a query's tokens sum to its score",
    async (_name, options) => {
      const whole = await storeSimilarity(store, queries, { damping, ...options, topK: undefined });
      const tokens = await storeSimilarity(
        store,
        await queryFeatures(pair.model, pair.queries, store, { per: "token" }),
        { damping, ...options, topK: undefined },
      );
      const { rowOffsets } = pair.queries;
      const sums = whole.scores.map((_, i) =>
        Array.from(
          { length: rowOffsets[Math.floor(i / 6) + 1] - rowOffsets[Math.floor(i / 6)] },
          (__, t) => tokens.scores[(rowOffsets[Math.floor(i / 6)] + t) * 6 + (i % 6)],
        ).reduce((sum, part) => sum + part, 0),
      );
      expect(relativeDifference(sums, whole.scores)).toBeLessThan(floatTolerance);
      const made = await breakdown(pair.model, store, pair.queries, whole, { by: "queryToken", pairs: [[1, 4]] });
      expect(
        relativeDifference(
          made.pairs[0].parts,
          Array.from({ length: made.pairs[0].parts.length }, (__, t) => tokens.scores[(rowOffsets[1] + t) * 6 + 4]),
        ),
      ).toBeLessThan(floatTolerance);
    },
  );
});

test("the methods by name, the best of a store, rounded stores and stores that were appended to", async () => {
  const { model, train } = pair;
  for (const method of [projectedGaussNewton, dataInf, trak]) {
    const attribution = await method(model, train, pair.queries, { damping, parameters: "mlp", rank: 3 });
    for (const by of kinds)
      expectSums(await breakdown(model, train, pair.queries, attribution, { by, pairs: allPairs }), attribution);
    const best = await method(model, store, pair.queries, { damping, topK: 2 });
    const made = await breakdown(model, store, pair.queries, best);
    expect(made.pairs.map(({ train: z }) => z)).toEqual(Array.from(best.indices));
    expect(
      relativeDifference(
        made.pairs.map(({ score }) => score),
        best.scores,
      ),
    ).toBeLessThan(floatTolerance);
    expect(
      (await breakdown(model, store, pair.queries, best, { topK: 1 })).pairs.map(({ trainId }) => trainId),
    ).toEqual([0, 2, 4].map((at) => train.ids[best.indices[at]]));
  }
  await buildGradientStore(model, selectInstances(train, [0, 1, 2]), join(root, "grown"), {
    parameters: "mlp",
    rank: 3,
    precision: "int8",
    rowsPerShard: 2,
  });
  const grown = await appendToGradientStore(model, selectInstances(train, [3, 4, 5]), join(root, "grown"));
  const attribution = await storeSimilarity(grown, await queryFeatures(model, pair.queries, grown), {
    preconditioner: "gaussNewton",
  });
  for (const by of ["module", "queryToken"] as const)
    expectSums(await breakdown(model, grown, pair.queries, attribution, { by, pairs: allPairs }), attribution);
  const together = concatInstances([selectInstances(train, [0, 1, 2]), selectInstances(train, [3, 4, 5])]);
  expectSums(
    await breakdown(model, together, pair.queries, attribution, { by: "trainToken", store: grown, pairs: allPairs }),
    attribution,
    0.05,
  ); // without the rounding of 7 bits
});

test("refuses a store's training tokens, another store and factors, and leaves no store behind", async () => {
  const stores = async () =>
    (await readdir(tmpdir())).filter(
      (file) => file.startsWith("attribution-store-") && !file.startsWith("attribution-store-test-"),
    );
  const before = await stores();
  const { model, train } = pair;
  const attribution = await storeSimilarity(store, queries);
  await expect(breakdown(model, store, pair.queries, attribution, { by: "trainToken" })).rejects.toMatchObject(
    refusal("missing", /"store"/),
  );
  await expect(breakdown(model, train, pair.queries, attribution, { factors: "x" })).rejects.toMatchObject(
    refusal("invalid", /EK-FAC/),
  );
  const other = await buildGradientStore(model, train, join(root, "other"), { parameters: "mlp", rank: 3, seed: 5 });
  await expect(breakdown(model, train, pair.queries, attribution, { store: other })).rejects.toMatchObject(
    refusal("mismatch", /not the one/),
  );
  await expect(breakdown(model, other, pair.queries, attribution)).rejects.toMatchObject(
    refusal("mismatch", /not the one/),
  );
  await expect(
    breakdown(model, train, pair.queries, await trak(model, store, pair.queries), { store, memory: 500 }),
  ).rejects.toMatchObject(refusal("memory", /raise "memory"/));
  await expect(queryFeatures(model, pair.queries, store, { per: "word" as never })).rejects.toMatchObject(
    refusal("invalid", /"per"/),
  );
  expect((await stores()).filter((file) => !before.includes(file))).toEqual([]);
});
