// Parts of whole gradients' scores against PyTorch's gradients of each token, in explicit linear algebra, on a very small classifier.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInstances, noTarget } from "../../lib/data/instances";
import { breakdown } from "../../lib/instance/breakdown";
import type { BreakdownOptions } from "../../lib/instance/breakdown/request";
import { fitEkfac } from "../../lib/instance/ekfac/ekfac-factors";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { randomInstances } from "../../lib/instance/random";
import { tracInCheckpoints } from "../../lib/instance/checkpoints/tracin-checkpoints";
import { load } from "../../lib/results/load";
import { save } from "../../lib/results/save";
import { top } from "../../lib/results/top";
import type { Breakdown, InstanceAttribution } from "../../types/results";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { dot, type Matrix, rowsOf, solved } from "./feature-algebra";
import { type GoldenPair, goldenPair, selections } from "./golden-pair";
import { gradientOf, type TokenGradients, tokenGradients } from "./token-gradients";

/** float64 throughout. */
const doubleTolerance = 1e-9;
/** A float32 score against the sum of its float64 parts. */
const scoreTolerance = 1e-6;

let pair: GoldenPair;
beforeAll(async () => {
  pair = await goldenPair("float64");
});
afterAll(() => pair.model.close());

const kinds = ["module", "trainToken", "queryToken"] as const;
const allPairs = Array.from({ length: 18 }, (_, i) => [Math.floor(i / 6), i % 6] as const);
const split = (attribution: InstanceAttribution, options: BreakdownOptions) =>
  breakdown(pair.model, pair.train, pair.queries, attribution, { pairs: allPairs, ...options });

/** Parts by explicit products: `turn` is the method's matrix. */
function explicitParts(
  { offsets, train, queries }: TokenGradients,
  by: Breakdown["by"],
  turn: (gradient: number[]) => number[],
): number[][] {
  const [turnedQueries, turnedTrain] = [queries, train].map((side) => side.map((rows) => turn(gradientOf(rows))));
  return allPairs.map(([q, z]) => {
    if (by === "trainToken") return train[z].map((row) => dot(turnedQueries[q], row));
    if (by === "queryToken") return queries[q].map((row) => dot(turnedTrain[z], row));
    const own = gradientOf(train[z]);
    return offsets.slice(1).map((end, m) => dot(turnedQueries[q].slice(offsets[m], end), own.slice(offsets[m], end)));
  });
}

function expectParts({ pairs }: Breakdown, wanted: readonly (readonly number[])[], tolerance: number): void {
  expect(pairs.map(({ parts }) => parts.length)).toEqual(wanted.map((parts) => parts.length));
  expect(
    relativeDifference(
      pairs.flatMap(({ parts }) => Array.from(parts)),
      wanted.flat(),
    ),
  ).toBeLessThan(tolerance);
}

function expectSums({ pairs }: Breakdown, { scores, train }: InstanceAttribution, tolerance = scoreTolerance): void {
  expect(
    relativeDifference(
      pairs.map(({ score }) => score),
      pairs.map(({ query, train: z }) => scores[query * train + z]),
    ),
  ).toBeLessThan(tolerance);
  for (const { score, parts } of pairs) expect(parts.reduce((sum, part) => sum + part, 0)).toBe(score);
}

describe("parts of gradient similarity", () => {
  test.each(kinds)("by %s are PyTorch's products of gradients, and with the cosine over both norms", async (by) => {
    for (const parameters of [selections["linear"], "head"] as const) {
      const tokens = await tokenGradients(pair, parameters);
      const wanted = explicitParts(tokens, by, (gradient) => gradient);
      const similar = await gradientSimilarity(pair.model, pair.train, pair.queries, { parameters });
      const made = await split(similar, { by });
      expectParts(made, wanted, doubleTolerance);
      expectSums(made, similar);
      const cosine = await gradientSimilarity(pair.model, pair.train, pair.queries, {
        parameters,
        similarity: "cosine",
      });
      const norm = (rows: Matrix) => Math.sqrt(dot(gradientOf(rows), gradientOf(rows)));
      const over = wanted.map((parts, i) =>
        parts.map((part) => part / norm(tokens.queries[allPairs[i][0]]) / norm(tokens.train[allPairs[i][1]])),
      );
      const madeCosine = await split(cosine, { by });
      expectParts(madeCosine, over, doubleTolerance);
      expectSums(madeCosine, cosine);
    }
  });

  test("by module are the scores of each module alone, and name it", async () => {
    const total = await gradientSimilarity(pair.model, pair.train, pair.queries, { parameters: "linear" });
    const { modules, pairs } = await split(total, {});
    expect(modules).toEqual(modulesOf(pair.model.architecture, "linear"));
    for (const [m, module] of modules.entries()) {
      const { scores } = await gradientSimilarity(pair.model, pair.train, pair.queries, { parameters: [module] });
      expect(
        relativeDifference(
          pairs.map(({ parts }) => parts[m]),
          scores,
        ),
      ).toBeLessThan(scoreTolerance);
    }
  });

  test.each(familyCases)("of %s sum to the scores, whatever the batches and the memory", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const kind = model.architecture.head.kind;
    const [train, queries] = [raggedInstances(kind, 5), raggedInstances(kind, 2)];
    const parameters = ["*"];
    const attribution = await gradientSimilarity(model, train, queries, { parameters });
    const vector = modulesOf(model.architecture, parameters).length;
    for (const by of kinds) {
      const made = await breakdown(model, train, queries, attribution, { by });
      expect(made.pairs.length).toBe(10);
      expectSums(made, attribution);
      if (by === "module") expect(made.pairs.every(({ parts }) => parts.length === vector)).toBe(true);
      const small = await breakdown(model, train, queries, attribution, { by, batchTokens: 1, memory: "20 MB" });
      expect(
        relativeDifference(
          small.pairs.flatMap(({ parts }) => Array.from(parts)),
          made.pairs.flatMap(({ parts }) => Array.from(parts)),
        ),
      ).toBeLessThan(doubleTolerance);
    }
  });

  test("lie at the tokens whose gradients they are: none after the only target", async () => {
    using model = await open("gpt-neox", { dtype: "float64" });
    const rows = [
      [5, 6, 7, 8, 9],
      [8, 9, 10, 11, 12],
    ];
    const early = createInstances({
      kind: "causalLM",
      rows,
      targets: [
        [noTarget, 7, noTarget, noTarget, noTarget],
        [9, 10, 11, 12, 5],
      ],
    });
    const attribution = await gradientSimilarity(model, early, early, { parameters: ["*"] });
    for (const by of ["trainToken", "queryToken"] as const) {
      const one = (
        await breakdown(model, early, early, attribution, { by, pairs: by === "trainToken" ? [[1, 0]] : [[0, 1]] })
      ).pairs[0];
      expect(Array.from(one.tokens)).toEqual(rows[0]);
      expect(Array.from(one.parts.subarray(2))).toEqual([0, 0, 0]);
      expect(one.parts[0]).not.toBe(0);
    }
    const head = await gradientSimilarity(model, early, early, { parameters: "head" });
    const only = (await breakdown(model, early, early, head, { by: "trainToken", pairs: [[1, 0]] })).pairs[0];
    expect(only.parts[1]).toBe(only.score);
    expect(only.score).not.toBe(0);
  });
});

describe("parts of influence", () => {
  test.each(kinds)("by %s equal the explicit inverse Hessian's (cg, and Arnoldi in the whole space)", async (by) => {
    for (const selection of ["head", "mlpLast"] as const) {
      const { data, shape } = pair.wanted[`hessian.${selection}`];
      const damping = pair.wanted[`lambda.${selection}`].data[0];
      const matrix = rowsOf(data, shape[0]);
      matrix.forEach((row, i) => {
        row[i] += damping;
      });
      const tokens = await tokenGradients(pair, selections[selection]);
      const wanted = explicitParts(tokens, by, (gradient) => solved(matrix, [gradient])[0]);
      const common = { parameters: selections[selection], damping };
      for (const options of [
        { ...common, inverse: "cg", iterations: 2000, tolerance: 1e-12 },
        { ...common, inverse: "arnoldi", iterations: shape[0], rank: shape[0] },
      ] as const) {
        const attribution = await influence(pair.model, pair.train, pair.queries, options);
        const made = await split(attribution, { by });
        expectParts(made, wanted, 1e-6); // the solvers' own tolerance
        expectSums(made, attribution);
      }
    }
  });

  test.each(kinds)("of LiSSA by %s equal those of its recursion", async (by) => {
    const { data, shape } = pair.wanted["hessian.head"];
    const matrix = rowsOf(data, shape[0]);
    const [damping, scale, recursions] = [0.5, 20, 40];
    const series = (v: number[]) => {
      let h = v;
      for (let step = 0; step < recursions; step++)
        h = h.map((value, i) => v[i] + (1 - damping / scale) * value - dot(matrix[i], h) / scale);
      return h.map((value) => value / scale);
    };
    const wanted = explicitParts(await tokenGradients(pair, "head"), by, series);
    const options: InfluenceOptions = {
      inverse: "lissa",
      parameters: "head",
      damping,
      scale,
      recursions,
      batchSize: 6,
    };
    const attribution = await influence(pair.model, pair.train, pair.queries, options);
    const made = await split(attribution, { by });
    expectParts(made, wanted, doubleTolerance);
    expectSums(made, attribution);
  });

  test.each(kinds)("of LiSSA with batches, whose matrix is not symmetric, by %s sum to the scores", async (by) => {
    const attribution = await influence(pair.model, pair.train, pair.queries, {
      inverse: "lissa",
      parameters: "mlp",
      scale: 100,
      recursions: 30,
      batchSize: 2,
    });
    expectSums(await split(attribution, { by }), attribution);
  });

  test("of EK-FAC by module are its scores of each module alone, and by token sum to the total", async () => {
    const attribution = await influence(pair.model, pair.train, pair.queries, {
      inverse: "ekfac",
      parameters: "linear",
    });
    const { modules, pairs } = await split(attribution, {});
    for (const [m, module] of modules.entries()) {
      const { scores } = await influence(pair.model, pair.train, pair.queries, {
        inverse: "ekfac",
        parameters: [module],
      });
      expect(
        relativeDifference(
          pairs.map(({ parts }) => parts[m]),
          scores,
        ),
      ).toBeLessThan(scoreTolerance);
    }
    for (const by of kinds) expectSums(await split(attribution, { by }), attribution);
    const folder = await mkdtemp(join(tmpdir(), "attribution-breakdown-"));
    await fitEkfac(pair.model, pair.train, folder, { parameters: "linear" });
    const stored = await split(attribution, { factors: folder });
    expect(
      relativeDifference(
        stored.pairs.flatMap(({ parts }) => Array.from(parts)),
        pairs.flatMap(({ parts }) => Array.from(parts)),
      ),
    ).toBeLessThan(doubleTolerance);
    await rm(folder, { recursive: true });
  });

  test.each(["identity", "ekfac", "cg"] as const)("of %s do not depend on the memory", async (inverse) => {
    const attribution = await influence(pair.model, pair.train, pair.queries, {
      inverse,
      parameters: "mlp",
      ...(inverse === "cg" ? { damping: pair.wanted["lambda.mlp"].data[0], tolerance: 1e-10, iterations: 500 } : {}),
    });
    for (const by of kinds) {
      const [whole, small] = [await split(attribution, { by }), await split(attribution, { by, memory: 400_000 })];
      expect(
        relativeDifference(
          small.pairs.flatMap(({ parts }) => Array.from(parts)),
          whole.pairs.flatMap(({ parts }) => Array.from(parts)),
        ),
      ).toBeLessThan(1e-6);
      expectSums(small, attribution);
    }
  });
});

describe("pairs", () => {
  test("are by default the best ten of each query, or as many as asked, with their ids and tokens", async () => {
    const attribution = await gradientSimilarity(pair.model, pair.train, pair.queries);
    const made = await breakdown(pair.model, pair.train, pair.queries, attribution, { by: "trainToken", topK: 2 });
    expect(made.pairs.map(({ train: z }) => z)).toEqual(
      [0, 1, 2].flatMap((query) => top(attribution, query, 2).map(({ index }) => index)),
    );
    const { rowOffsets, tokens } = pair.train;
    for (const { train: z, trainId, queryId, query, tokens: own } of made.pairs) {
      expect([trainId, queryId]).toEqual([`train ${z}`, `queries ${query}`]);
      expect(own).toEqual(tokens.slice(rowOffsets[z], rowOffsets[z + 1]));
    }
    expect((await breakdown(pair.model, pair.train, pair.queries, attribution)).pairs.length).toBe(18); // all six
    expect(Object.isFrozen(made.pairs)).toBe(true);
    expect(made.provenance).toMatchObject({
      method: "breakdown",
      options: { by: "trainToken", attribution: "gradientSimilarity" },
      dataHashes: { train: pair.train.hash, queries: pair.queries.hash },
    });
  });

  test("are a result that can be saved and loaded", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attribution-breakdown-"));
    const made = await split(await gradientSimilarity(pair.model, pair.train, pair.queries), { by: "queryToken" });
    await save(made, join(folder, "saved"));
    expect(await load(join(folder, "saved"))).toEqual(made);
    await rm(folder, { recursive: true });
  });
});

describe("breakdown refuses", () => {
  test.each<[string, BreakdownOptions, string, RegExp]>([
    ["another way to split", { by: "layer" as never }, "invalid", /"by"/],
    ["pairs that are not there", { pairs: [[0, 6]] }, "invalid", /"pairs"/],
    ["no pairs", { pairs: [] }, "invalid", /"pairs"/],
    ["pairs beside their number", { pairs: [[0, 0]], topK: 3 }, "invalid", /one of them/],
    ["no instance at all", { topK: 0 }, "invalid", /"topK"/],
    ["a budget below one vector", { memory: 100 }, "memory", /"memory"/],
    ["a store that the method has not", { store: {} as never }, "invalid", /"store"/],
    ["factors that the method has not", { factors: "somewhere" }, "invalid", /EK-FAC/],
    ["a misspelt option", { split: "module" } as never, "unknown", /"split"/],
  ])("%s", async (_name, options, code, words) => {
    const attribution = await gradientSimilarity(pair.model, pair.train, pair.queries);
    await expect(breakdown(pair.model, pair.train, pair.queries, attribution, options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });

  test("another model, training set or queries, and scores that no product of gradients gives", async () => {
    const { model, train, queries } = pair;
    const attribution = await gradientSimilarity(model, train, queries);
    await expect(breakdown(model, queries, queries, attribution)).rejects.toMatchObject(
      refusal("mismatch", /another training set/),
    );
    await expect(breakdown(model, train, train, attribution)).rejects.toMatchObject(
      refusal("mismatch", /other queries/),
    );
    using other = await open("opt-classification");
    await expect(breakdown(other, train, queries, attribution)).rejects.toMatchObject(
      refusal("mismatch", /another model/),
    );
    await expect(breakdown(model, train, queries, await randomInstances(train, queries))).rejects.toMatchObject(
      refusal("unsupported", /random/),
    );
    await expect(breakdown(model, train, queries, {} as never)).rejects.toMatchObject(
      refusal("invalid", /"attribution"/),
    );
    const sum = await tracInCheckpoints([{ model, learningRate: 1 }], train, queries);
    await expect(breakdown(model, train, queries, sum)).rejects.toMatchObject(
      refusal("invalid", /list of checkpoints/),
    );
    await expect(breakdown([{ model }], train, queries, attribution)).rejects.toMatchObject(
      refusal("invalid", /one model/),
    );
  });
});
