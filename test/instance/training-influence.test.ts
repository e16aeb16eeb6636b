// The exact influence of a training run against central finite differences: retraining with one instance's weight a little up and down.
import { createInstances, noTarget } from "../../lib/data/instances";
import { trainingInfluence, type TrainingRun } from "../../lib/instance/training-influence";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune, type FineTuneOptions } from "../../lib/model/fine-tune";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { type GoldenPair, goldenPair } from "./golden-pair";

/** Central differences in float64, of the largest score. */
const tolerance = 1e-5;
const step = 1e-5;

let pair: GoldenPair;
beforeAll(async () => {
  pair = await goldenPair("float64");
});
afterAll(() => pair.model.close());

/** −(L(q; w + h eᵢ) − L(q; w − h eᵢ)) / 2h, [query, train]. */
async function differences(
  base: Model,
  train: Instances,
  queries: Instances,
  options: FineTuneOptions,
): Promise<number[]> {
  const lossesAt = async (instance: number, change: number) => {
    const own = Array.from(options.instanceWeights ?? Array.from({ length: train.size }, () => 1));
    own[instance] += change;
    using tuned = await fineTune(base, train, { ...options, instanceWeights: own });
    return (await evaluate(tuned, queries)).losses;
  };
  const scores = new Array<number>(queries.size * train.size);
  for (let i = 0; i < train.size; i++) {
    const [up, down] = [await lossesAt(i, step), await lossesAt(i, -step)];
    for (let q = 0; q < queries.size; q++) scores[q * train.size + i] = -(up[q] - down[q]) / (2 * step);
  }
  return scores;
}

const quiet: FineTuneOptions = { epochs: 3, batchSize: 2, learningRate: 5e-3, epsilonRoot: 1e-8, dropout: false };

describe("the influence of a training run equals retraining", () => {
  test.each<[string, FineTuneOptions]>([
    ["AdamW with weight decay, clipping and a linear schedule", { ...quiet, weightDecay: 0.1 }],
    ["AdamW with dropout", { ...quiet, dropout: true }],
    [
      "AdamW with accumulation, a warm-up and shuffled batches",
      { ...quiet, accumulation: 2, warmupSteps: 3, order: "shuffled" },
    ],
    [
      "AdamW without clipping, other moments and weights other than 1",
      { ...quiet, clip: 0, betas: [0.8, 0.95], instanceWeights: [1, 2, 0.5, 0, 1, 3] },
    ],
    [
      "SGD with momentum and weight decay",
      {
        epochs: 3,
        batchSize: 2,
        learningRate: 0.05,
        optimizer: "sgd",
        momentum: 0.9,
        weightDecay: 0.05,
        dropout: false,
        schedule: "constant",
      },
    ],
    ["the head alone", { ...quiet, trainable: "head" }],
  ])("by %s, whatever the memory", async (_name, options) => {
    const { model, train, queries } = pair;
    const wanted = await differences(model, train, queries, options);
    const run: TrainingRun = { model, train, options };
    const made = await trainingInfluence(run, queries, { metasmoothness: false });
    expect(relativeDifference(made.scores, wanted)).toBeLessThan(tolerance);
    expect(made.run.stepsMade).toBe(made.run.steps);
    const vector = 8 * (options.trainable === "head" ? 8 * 3 : model.parameters);
    const small = await trainingInfluence(run, queries, { metasmoothness: false, memory: 34 * vector });
    expect(relativeDifference(small.scores, made.scores)).toBeLessThan(1e-9);
    expect(small.run.stepsMade).toBeGreaterThan(made.run.steps); // some states were made anew
  });

  test.each(["gpt2", "llama-gqa", "qwen3", "bloom", "gpt-neox-choice"])("of %s", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const { kind } = model.architecture.head;
    const [train, queries] = [raggedInstances(kind, 4), raggedInstances(kind, 2)];
    const options = { ...quiet, learningRate: 1e-3, epochs: 2 };
    const wanted = await differences(model, train, queries, options);
    const made = await trainingInfluence({ model, train, options }, queries);
    expect(relativeDifference(made.scores, wanted)).toBeLessThan(tolerance);
    expect(Math.abs(made.run.metasmoothness)).toBeLessThanOrEqual(1);
  });
});

describe("the influence of a training run", () => {
  const run = (options: FineTuneOptions = quiet, more: Partial<TrainingRun> = {}): TrainingRun => ({
    model: pair.model,
    train: pair.train,
    options,
    ...more,
  });

  test("does not depend on the other queries, and is that of no training at a rate of 0", async () => {
    const { queries } = pair;
    const all = await trainingInfluence(run(), queries, { metasmoothness: false });
    const { rowOffsets, tokens, labels } = queries;
    const last = createInstances({
      kind: "classification",
      rows: [tokens.slice(rowOffsets[2], rowOffsets[3])],
      labels: [labels[2]],
    });
    const one = await trainingInfluence(run(), last, { metasmoothness: false });
    expect(relativeDifference(one.scores, all.scores.subarray(12))).toBeLessThan(1e-9);
    const still = await trainingInfluence(run({ ...quiet, learningRate: 0 }), queries);
    expect(still.scores.every((score) => score === 0)).toBe(true);
    expect(still.run.metasmoothness).toBe(1);
  });

  test("tells the run's losses and the trained model, which is compared where it is given", async () => {
    const { queries } = pair;
    using trained = await fineTune(pair.model, pair.train, quiet);
    const made = await trainingInfluence(run(quiet, { trained }), queries);
    expect(made.provenance).toMatchObject({
      method: "trainingInfluence",
      modelHash: trained.hash,
      options: { base: pair.model.hash, epsilonRoot: 1e-8 },
    });
    const { losses } = await evaluate(trained, queries);
    expect(relativeDifference(made.run.queryLosses, losses)).toBeLessThan(1e-9);
    expect(made.run.losses.length).toBe(made.run.steps);
    expect(made.run.metasmoothness).toBeGreaterThan(0.5); // a small step of a smooth run
    await expect(trainingInfluence(run({ ...quiet, seed: 7 }, { trained }), queries)).rejects.toMatchObject(
      refusal("mismatch", /cannot be replayed/),
    );
  });

  test("of language models takes the sum or the mean of a query's tokens", async () => {
    using model = await open("gpt2", { dtype: "float64" });
    const queries = createInstances({ kind: "causalLM", rows: [[5, 6, 7, 8]], targets: [[noTarget, 7, 8, 9]] });
    const own = { model, train: raggedInstances("causalLM", 3), options: { ...quiet, epochs: 1 } };
    const [sum, mean] = [
      await trainingInfluence(own, queries, { metasmoothness: false }),
      await trainingInfluence(own, queries, { metasmoothness: false, reduction: "mean" }),
    ];
    expect(
      relativeDifference(
        mean.scores.map((score) => 3 * score),
        sum.scores,
      ),
    ).toBeLessThan(1e-6);
  });

  test("explains a root without a derivative", async () => {
    const { queries } = pair;
    await expect(trainingInfluence(run({ ...quiet, epsilonRoot: 0 }), queries)).rejects.toMatchObject(
      refusal("unsupported", /"epsilonRoot"/),
    );
  });

  test.each<[string, () => TrainingRun, object, string, RegExp]>([
    ["the best epoch", () => run({ ...quiet, evaluation: pair.queries }), {}, "unsupported", /best epoch/],
    ["checkpoints", () => run({ ...quiet, checkpoints: "somewhere" }), {}, "invalid", /"checkpoints"/],
    ["no run", () => pair.model as never, {}, "invalid", /"run"/],
    ["a budget below one state", () => run(), { memory: 1000 }, "memory", /"memory"/],
    [
      "weights of other instances",
      () => run({ ...quiet, instanceWeights: [1, 2] }),
      {},
      "invalid",
      /"instanceWeights"/,
    ],
    ["a misspelt option", () => run(), { smoothness: 1 }, "unknown", /"smoothness"/],
    ["a misspelt option of the run", () => run({ ...quiet, rate: 1 } as never), {}, "unknown", /"rate"/],
    ["the other optimizer's option", () => run({ optimizer: "sgd", epsilonRoot: 1e-8 }), {}, "invalid", /AdamW's/],
  ])("is refused for %s", async (_name, made, options, code, words) => {
    await expect(trainingInfluence(made(), pair.queries, options)).rejects.toMatchObject(refusal(code as never, words));
  });

  test("stops when it is told to", async () => {
    const controller = new AbortController();
    const call = trainingInfluence(run({ ...quiet, epochs: 500 }), pair.queries, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(call).rejects.toMatchObject({ code: "aborted" });
  });
});
