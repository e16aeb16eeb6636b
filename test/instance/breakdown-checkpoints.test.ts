// Parts of sums over checkpoints: they sum to the scores, and each is the sum of the checkpoints' own parts.
import { join } from "node:path";
import {
  breakdown,
  buildGradientStore,
  fineTune,
  gradientSimilarity,
  loadModel,
  optimizerAwareSimilarity,
  tracInCheckpoints,
  trak,
  trakCheckpoints,
} from "../../lib/index";
import type { Breakdown, BreakdownOptions, GradientStore, InstanceAttribution, Model } from "../../lib/index";
import { readTrainingState } from "../../lib/model/training-state";
import { relativeDifference } from "../model/golden-cases";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { type GoldenPair, goldenPair } from "./golden-pair";

/** float32 models and scores. */
const tolerance = 5e-5;
const kinds = ["module", "trainToken", "queryToken"] as const;
const allPairs = Array.from({ length: 18 }, (_, i) => [Math.floor(i / 6), i % 6] as const);
const root = scratch();
const run = join(root, "run");
const folders = [join(run, "epoch-1"), join(run, "epoch-2")];
let pair: GoldenPair;
let stores: GradientStore[];

beforeAll(async () => {
  pair = await goldenPair("float32");
  (
    await fineTune(pair.model, pair.train, {
      epochs: 2,
      batchSize: 2,
      learningRate: 1e-3,
      dropout: false,
      checkpoints: run,
      optimizerState: true,
    })
  ).close();
  stores = await each((model, place) =>
    buildGradientStore(model, pair.train, join(root, `store-${place}`), {
      parameters: "mlp",
      rank: 3,
      precision: "float32",
    }),
  );
});
afterAll(() => pair.model.close());

async function each<T>(use: (model: Model, place: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const [place, folder] of folders.entries()) {
    using model = await loadModel(folder);
    results.push(await use(model, place));
  }
  return results;
}

const split = (attribution: InstanceAttribution, options: BreakdownOptions) =>
  breakdown(folders, pair.train, pair.queries, attribution, { pairs: allPairs, ...options });
const partsOf = ({ pairs }: Breakdown) => pairs.flatMap(({ parts }) => Array.from(parts));

function expectSums({ pairs }: Breakdown, { scores }: InstanceAttribution): void {
  expect(pairs.length).toBe(18);
  expect(
    relativeDifference(
      pairs.map(({ score }) => score),
      scores,
    ),
  ).toBeLessThan(tolerance);
}

test.each(["dot", "cosine"] as const)(
  "parts of tracInCheckpoints by %s are Σ η of the checkpoints' parts",
  async (similarity) => {
    const attribution = await tracInCheckpoints(folders, pair.train, pair.queries, { similarity });
    const rates = await Promise.all(folders.map(async (folder) => (await readTrainingState(folder))!.learningRate));
    for (const by of kinds) {
      const own = await each(async (model) =>
        partsOf(
          await breakdown(
            model,
            pair.train,
            pair.queries,
            await gradientSimilarity(model, pair.train, pair.queries, { similarity }),
            { by, pairs: allPairs },
          ),
        ),
      );
      const made = await split(attribution, { by });
      expectSums(made, attribution);
      expect(
        relativeDifference(
          partsOf(made),
          own[0].map((_, i) => rates[0] * own[0][i] + rates[1] * own[1][i]),
        ),
      ).toBeLessThan(1e-6);
    }
  },
);

test("parts over stores of checkpoints sum to the scores of tracInCheckpoints and trakCheckpoints", async () => {
  const similar = await tracInCheckpoints(folders, stores, pair.queries);
  const linearised = await trakCheckpoints(folders, stores, pair.queries);
  for (const by of kinds) {
    for (const attribution of [similar, linearised]) {
      const made = await split(attribution, { by, store: stores });
      expectSums(made, attribution);
      if (by !== "trainToken")
        expect(partsOf(await breakdown(folders, stores, pair.queries, attribution, { by, pairs: allPairs }))).toEqual(
          partsOf(made),
        );
    }
  }
});

test("parts of trakCheckpoints are the mean kernel's times the mean 1 − p, also with stores made for the call", async () => {
  const attribution = await trakCheckpoints(folders, pair.train, pair.queries, { parameters: "mlp", rank: 3 });
  for (const by of kinds) {
    const made = await split(attribution, { by });
    expectSums(made, attribution);
    expect(relativeDifference(partsOf(made), partsOf(await split(attribution, { by, store: stores })))).toBeLessThan(
      1e-5,
    );
  }
  const one = await trakCheckpoints(folders.slice(0, 1), stores.slice(0, 1), pair.queries);
  using model = await loadModel(folders[0]);
  const alone = await trak(model, stores[0], pair.queries);
  const [sum, own] = [
    await breakdown(folders.slice(0, 1), stores.slice(0, 1), pair.queries, one, { by: "queryToken", pairs: allPairs }),
    await breakdown(model, stores[0], pair.queries, alone, { by: "queryToken", pairs: allPairs }),
  ];
  expect(relativeDifference(partsOf(sum), partsOf(own))).toBeLessThan(1e-6);
});

test.each(["cosine", "dot"] as const)(
  "parts of optimizerAwareSimilarity by %s sum to the scores by module and query token, and are each module's own",
  async (similarity) => {
    const attribution = await optimizerAwareSimilarity(folders, pair.train, pair.queries, {
      similarity,
      parameters: "mlp",
    });
    for (const by of ["module", "queryToken"] as const) expectSums(await split(attribution, { by }), attribution);
    const small = await split(attribution, { memory: 400_000 });
    const made = await split(attribution, {});
    expect(relativeDifference(partsOf(small), partsOf(made))).toBeLessThan(1e-5);
    if (similarity === "cosine") return; // its modules share norms
    for (const [m, module] of made.modules.entries()) {
      const { scores } = await optimizerAwareSimilarity(folders, pair.train, pair.queries, {
        similarity,
        parameters: [module],
      });
      expect(
        relativeDifference(
          made.pairs.map(({ parts }) => parts[m]),
          scores,
        ),
      ).toBeLessThan(tolerance);
    }
  },
);

test("refuses tokens of Adam's steps, other checkpoints and too few stores", async () => {
  const { train, queries } = pair;
  const adam = await optimizerAwareSimilarity(folders, train, queries);
  await expect(split(adam, { by: "trainToken" })).rejects.toMatchObject(
    refusal("unsupported", /no sum over the training instance's tokens/),
  );
  await expect(split(adam, { memory: 1000 })).rejects.toMatchObject(refusal("memory", /raise "memory"/));
  const attribution = await tracInCheckpoints(folders, stores, queries);
  await expect(breakdown([...folders].reverse(), train, queries, attribution, { store: stores })).rejects.toMatchObject(
    refusal("mismatch", /other checkpoints/),
  );
  await expect(breakdown(folders.slice(0, 1), train, queries, attribution)).rejects.toMatchObject(
    refusal("mismatch", /other checkpoints/),
  );
  await expect(split(attribution, { store: stores.slice(1) })).rejects.toMatchObject(
    refusal("mismatch", /each of the 2/),
  );
});
