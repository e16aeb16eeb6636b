// Instance attributions of a quantity inside the model: against central differences of the quantity after small training steps.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { jointAttribution } from "../../lib/instance/joint";
import { breakdown } from "../../lib/instance/breakdown";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { quantityValues } from "../../lib/instance/quantity";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { trak } from "../../lib/instance/trak";
import { capture } from "../../lib/model/capture";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { selectInstances } from "../../lib/data/instances";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Quantity } from "../../types/quantity";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** Central differences in float64 against scores rounded to float32. */
const tolerance = 1e-6;
/** A small step: at 1e-4 third derivatives show (2e-5 of a slope), and a ReLU model crosses kinks (up to 0.06). */
const rate = 1e-6;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attribution-quantity-"));
});
afterAll(() => rm(folder, { recursive: true }));

const directionOf = (width: number) => Float64Array.from({ length: width }, (_, i) => Math.cos(i + 1));

/** The first neuron from number 3 on that is not 0 where it is watched: a ReLU that is 0 has no slope. */
async function liveNeuron(model: Model, queries: Instances): Promise<number> {
  for (let unit = 3; unit < model.architecture.intermediate; unit++) {
    const values = await quantityValues(model, queries, { unit: { layer: 1, unit } });
    if (values.every((value) => value !== 0)) return unit;
  }
  throw new Error("Every neuron is 0 in some query");
}

const quantities = ({ architecture: a }: Model, neuron: number): readonly (readonly [string, Quantity])[] => [
  ["a neuron's activation", { unit: { layer: 1, unit: neuron } }],
  ["its mean over all positions", { unit: { layer: 1, unit: neuron }, positions: "all" }],
  ["a head's output on a direction", { head: { layer: 1, unit: 1, direction: directionOf(a.headSize) } }],
  [
    "the first block's residual on a direction",
    { direction: { layer: 0, direction: directionOf(a.hidden) }, positions: [0, -1] },
  ],
  [
    "the last block's residual on a direction",
    { direction: { layer: a.layers - 1, direction: directionOf(a.hidden) } },
  ],
  ["a logit", { logit: 1 }],
  ["a probability, of each query its own", { probability: [0, 1] }],
  ["a log-probability", { logProbability: 1 }],
  ["a contrast", { contrast: [1, [0, 2]] }],
  ["an attention weight", { attention: { layer: 1, unit: 1, to: 0 } }],
];

/** What a step of plain gradient descent on an instance, up and down, does to f: the slope is −⟨∇f, ∇L(z)⟩ of the loss's mean reduction. */
async function slopes(model: Model, train: Instances, queries: Instances, of: Quantity): Promise<number[]> {
  const scores = new Array<number>(queries.size * train.size);
  for (let z = 0; z < train.size; z++) {
    const valuesAt = async (weight: number) => {
      using tuned = await fineTune(model, selectInstances(train, [z]), {
        optimizer: "sgd",
        epochs: 1,
        batchSize: 1,
        learningRate: rate,
        schedule: "constant",
        weightDecay: 0,
        clip: 0,
        dropout: false,
        instanceWeights: [weight],
      });
      return await quantityValues(tuned, queries, of);
    };
    const [up, down] = [await valuesAt(1), await valuesAt(-1)];
    for (let q = 0; q < queries.size; q++) scores[q * train.size + z] = (up[q] - down[q]) / (2 * rate);
  }
  return scores;
}

describe("gradient similarity of a quantity is its rise by a step of training", () => {
  test.each([
    "gpt2",
    "llama-gqa",
    "qwen3",
    "bloom",
    "opt-post-norm-projected",
    "gpt-neox-classification",
    "phi3",
    "falcon",
    "falcon-new",
    "gpt-bigcode",
  ])("in %s", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const kind = model.architecture.head.kind;
    const [train, queries] = [raggedInstances(kind, 3), selectInstances(raggedInstances(kind, 3), [0, 2])];
    for (const [words, of] of quantities(model, await liveNeuron(model, queries))) {
      if (kind === "classification" && words.startsWith("a contrast")) continue;
      const wanted = await slopes(model, train, queries, of);
      const { scores, unit } = await gradientSimilarity(model, train, queries, {
        parameters: "all",
        reduction: "mean",
        of,
      });
      expect([words, relativeDifference(scores, wanted) < tolerance]).toEqual([words, true]);
      expect(unit).toContain("rise of the");
    }
  });
});

describe("a quantity", () => {
  let model: Model;
  let train: Instances;
  let queries: Instances;
  beforeAll(async () => {
    model = await open("gpt2", { dtype: "float64" });
    [train, queries] = [raggedInstances("causalLM", 5), selectInstances(raggedInstances("causalLM", 3), [0, 2])];
  });
  afterAll(() => model.close());
  const unit: Quantity = { unit: { layer: 0, unit: 5 }, positions: "all" };

  test("has the values that capture and evaluate have", async () => {
    const { values } = await capture(model, queries, { site: "neurons", layers: [0], positions: "all" });
    const { intermediate } = model.architecture;
    const activations = Array.from(values).filter((_, at) => at % intermediate === 5);
    const first = queries.rowOffsets[1];
    const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
    expect(
      relativeDifference(await quantityValues(model, queries, unit), [
        mean(activations.slice(0, first)),
        mean(activations.slice(first)),
      ]),
    ).toBeLessThan(1e-6);
    const { losses } = await evaluate(model, queries);
    const targets = Array.from(queries.targets).filter((target) => target >= 0);
    expect(targets.length).toBeGreaterThanOrEqual(2);
    expect(losses.length).toBe(2);
    const small = await quantityValues(model, queries, unit, { batchTokens: 1 });
    expect(relativeDifference(small, await quantityValues(model, queries, unit))).toBeLessThan(1e-12);
  });

  test.each<[string, InfluenceOptions]>([
    ["identity", {}],
    ["ekfac", {}],
    ["arnoldi", { iterations: 20, rank: 10 }],
  ])("has influence by %s that comes apart by module and by unit", async (inverse, options) => {
    const given = { ...options, inverse, parameters: "linear", of: unit } as InfluenceOptions;
    const attribution = await influence(model, train, queries, given);
    const { pairs } = await breakdown(model, train, queries, attribution);
    expect(
      relativeDifference(
        pairs.map(({ score }) => score),
        pairs.map(({ query, train: z }) => attribution.scores[query * 5 + z]),
      ),
    ).toBeLessThan(1e-6);
    const joint = await jointAttribution(model, train, queries, attribution, { units: 1e6 });
    expect(relativeDifference(joint.scores, attribution.scores)).toBeLessThan(1e-6);
    const own = await influence(model, train, queries, { ...given, theta: "own" });
    const parts = Array.from({ length: joint.pairs }, (_, pair) => {
      const at = joint.indices.subarray(pair * joint.k, (pair + 1) * joint.k).indexOf(5);
      return joint.parts[pair * joint.k + at];
    });
    expect(relativeDifference(own.scores, parts)).toBeLessThan(1e-6);
    await expect(breakdown(model, train, queries, own)).rejects.toMatchObject(refusal("unsupported", /theta/));
    await expect(breakdown(model, train, queries, attribution, { by: "queryToken" })).rejects.toMatchObject(
      refusal("unsupported", /quantity/),
    );
  });

  test("of its own weights alone is the similarity over the unit's rows and column", async () => {
    const own = await gradientSimilarity(model, train, queries, { of: unit, theta: "own" });
    const all = await gradientSimilarity(model, train, queries, { of: unit });
    const joint = await jointAttribution(model, train, queries, all, { units: 1e6 });
    const parts = Array.from({ length: joint.pairs }, (_, pair) => {
      const at = joint.indices.subarray(pair * joint.k, (pair + 1) * joint.k).indexOf(5);
      return joint.parts[pair * joint.k + at];
    });
    expect(relativeDifference(own.scores, parts)).toBeLessThan(1e-6);
    expect(own.provenance.options).toMatchObject({ theta: "own", of: unit });
  });

  test("is asked of a store that was built once, whatever the preconditioner", async () => {
    const store = await buildGradientStore(model, train, join(folder, "whole"), {
      parameters: "linear",
      rank: 0,
      precision: "float32",
    });
    const features = await queryFeatures(model, queries, store, { of: unit });
    const exact = await gradientSimilarity(model, train, queries, { parameters: "linear", of: unit });
    expect(relativeDifference((await storeSimilarity(store, features)).scores, exact.scores)).toBeLessThan(1e-5);
    const small = await buildGradientStore(model, train, join(folder, "small"), {
      parameters: "linear",
      rank: 3,
      precision: "float32",
    });
    for (const method of [projectedGaussNewton, trak]) {
      const { scores, unit: words, provenance } = await method(model, small, queries, { of: unit, topK: undefined });
      expect(scores.every(Number.isFinite) && scores.some((score) => score !== 0)).toBe(true);
      expect(words).toContain("rise of the unit");
      expect(provenance.options["of"]).toEqual(unit);
    }
    const gaussNewton = await projectedGaussNewton(model, small, queries, { of: unit, topK: undefined });
    const joint = await jointAttribution(model, train, queries, gaussNewton, { store: small, units: 3 });
    expect(relativeDifference(joint.scores, gaussNewton.scores)).toBeLessThan(1e-4);
  });

  test("below all chosen parameters has the gradient 0", async () => {
    const { scores } = await gradientSimilarity(model, train, queries, { parameters: ["layers.1.mlp.*"], of: unit });
    expect(scores.every((score) => score === 0)).toBe(true);
  });

  test.each<[string, object, string, RegExp]>([
    ["a unit outside the model", { of: { unit: { layer: 0, unit: 1e6 } } }, "invalid", /of\.unit\.unit/],
    ["a layer outside the model", { of: { unit: { layer: 9, unit: 0 } } }, "invalid", /of\.unit\.layer/],
    ["two quantities", { of: { ...unit, logit: 1 } }, "invalid", /exactly one/],
    ["none", { of: {} }, "invalid", /exactly one/],
    ["a position outside a query", { of: { ...unit, positions: [11] } }, "invalid", /positions/],
    ["no positions", { of: { ...unit, positions: [] } }, "invalid", /of\.positions/],
    [
      "a direction of another width",
      { of: { direction: { layer: 0, direction: [1] } } },
      "invalid",
      /of\.direction\.direction/,
    ],
    ["a token outside the vocabulary", { of: { logit: 1e6 } }, "invalid", /label/],
    ["labels of other queries", { of: { logit: [1] } }, "invalid", /2 queries/],
    [
      "attention to what comes later",
      { of: { attention: { layer: 0, unit: 0, to: -1 }, positions: [0] } },
      "invalid",
      /later position/,
    ],
    ["a misspelt quantity", { of: { neuron: 3 } }, "unknown", /neuron/],
    ["its own weights without a unit", { theta: "own" }, "missing", /"of"/],
    [
      "a residual's own weights",
      { of: { direction: { layer: 0, direction: directionOf(1) } }, theta: "own" },
      "invalid",
      /of\.direction|theta/,
    ],
    [
      "own weights that are not chosen",
      { of: unit, theta: "own", parameters: "attention" },
      "missing",
      /layers\.0\.mlp/,
    ],
    ["a cosine of own weights", { of: unit, theta: "own", similarity: "cosine" }, "unsupported", /cosine/],
  ])("is refused for %s", async (_name, options, code, words) => {
    await expect(gradientSimilarity(model, train, queries, options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });
});
