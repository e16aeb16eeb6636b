import { globalRanking } from "../../lib/alignment/global-ranking";
import { createInstances, selectInstances } from "../../lib/data/instances";
import { fineTuningTest, type FineTuningTestOptions } from "../../lib/faithfulness/fine-tuning-test";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import { open } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

const task = (size: number, first: number): Instances =>
  createInstances({
    kind: "classification",
    rows: Array.from({ length: size }, (_, i) =>
      Int32Array.from({ length: 3 + (i % 3) }, (_, t) => 4 + (((first + i) * 29 + t * 13) % 80)),
    ),
    labels: Array.from({ length: size }, (_, i) => (first + i) % 3),
    ids: Array.from({ length: size }, (_, i) => `${first}/${i}`),
  });

const tuning = { epochs: 2, batchSize: 4, learningRate: 3e-3, dropout: false } as const;
const options: FineTuningTestOptions = { fractions: [0.25, 0.5], seeds: [1, 2], fineTune: tuning };

let model: Model;
let attribution: InstanceAttribution;
const [train, test_] = [task(12, 0), task(8, 100)];
beforeAll(async () => {
  model = await open("opt-classification");
  attribution = await gradientSimilarity(model, train, test_);
});
afterAll(() => model.close());

describe("the fine-tuning test", () => {
  test("has a run for each subset, share and seed, and one with everything, which agrees with itself", async () => {
    const { runs, points, provenance } = await fineTuningTest(model, train, test_, attribution, options);
    expect(runs).toHaveLength(2 * (1 + 3 * 2));
    expect(points.map(({ subset, fraction }) => [subset, fraction])).toEqual([
      ["all", 1],
      ["most", 0.25],
      ["most", 0.5],
      ["least", 0.25],
      ["least", 0.5],
      ["random", 0.25],
      ["random", 0.5],
    ]);
    for (const run of runs) {
      expect(run.instances).toBe(run.fraction * 12);
      if (run.subset === "all") expect(run.agreement).toBe(1);
      expect(run.accuracy >= 0 && run.accuracy <= 1 && run.agreement >= 0 && run.agreement <= 1).toBe(true);
    }
    expect(runs.some(({ agreement }) => agreement < 1)).toBe(true);
    for (const { subset, fraction, accuracy } of points) {
      const own = runs.filter((run) => run.subset === subset && run.fraction === fraction);
      expect(accuracy.mean).toBeCloseTo((own[0].accuracy + own[1].accuracy) / 2, 12);
      expect(accuracy.low).toBeLessThanOrEqual(accuracy.high);
    }
    expect(provenance.dataHashes).toEqual({ train: train.hash, test: test_.hash });
  });

  test("is the same when it runs again", async () => {
    const [first, second] = [
      await fineTuningTest(model, train, test_, attribution, options),
      await fineTuningTest(model, train, test_, attribution, options),
    ];
    expect(second.runs).toEqual(first.runs);
    expect(second.points).toEqual(first.points);
  });

  test("tunes on the instances that rank highest and lowest over all queries", async () => {
    const { runs } = await fineTuningTest(model, train, test_, attribution, {
      ...options,
      fractions: [0.25],
      subsets: ["most", "least"],
      seeds: [5],
    });
    const order = (await globalRanking(attribution)).map(({ index }) => index);
    const predictions = async (chosen: Instances) => {
      using tuned = await fineTune(model, chosen, { ...tuning, seed: 5 });
      return evaluate(tuned, test_);
    };
    const all = await predictions(train);
    for (const [subset, indices] of [
      ["most", order.slice(0, 3)],
      ["least", order.slice(-3)],
    ] as const) {
      const expected = await predictions(
        selectInstances(
          train,
          [...indices].sort((a, b) => a - b),
        ),
      );
      const run = runs.find((one) => one.subset === subset)!;
      expect(run.accuracy).toBe(expected.accuracy);
      expect(run.agreement).toBe(expected.predictions.filter((label, i) => label === all.predictions[i]).length / 8);
    }
  });

  test("leaves the base model as it was, tells its progress, and stops on request", async () => {
    const before = await evaluate(model, test_, { logits: true });
    const seen: string[] = [];
    const stop = new AbortController();
    const run = fineTuningTest(model, train, test_, attribution, {
      ...options,
      signal: stop.signal,
      onProgress: ({ done, total, stage }) => {
        seen.push(`${stage} ${done}/${total}`);
        if (done === 3) stop.abort();
      },
    });
    await expect(run).rejects.toMatchObject(refusal("aborted", /./));
    expect(seen).toEqual([
      "fine-tuning test 0/14",
      "fine-tuning test 1/14",
      "fine-tuning test 2/14",
      "fine-tuning test 3/14",
    ]);
    expect((await evaluate(model, test_, { logits: true })).logits).toEqual(before.logits);
  });

  test.each<[string, object, string, RegExp]>([
    ["a share of 0", { fractions: [0] }, "invalid", /"fractions"/],
    ["a share of 1", { fractions: [1] }, "invalid", /"fractions"/],
    ["no seeds", { seeds: [] }, "invalid", /"seeds"/],
    ["another subset", { subsets: ["best"] }, "invalid", /"subsets"/],
    ["a misspelt option", { fraction: 0.5 }, "unknown", /"fraction"/],
    ["a misspelt option of the tuning", { fineTune: { epoch: 1 } }, "unknown", /"epoch"/],
  ])("refuses %s", async (_name, given, code, words) => {
    await expect(fineTuningTest(model, train, test_, attribution, given)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });

  test("refuses an attribution of other training instances", async () => {
    await expect(fineTuningTest(model, task(12, 1), test_, attribution, options)).rejects.toMatchObject(
      refusal("mismatch", /same ids/),
    );
    await expect(fineTuningTest(model, task(11, 0), test_, attribution, options)).rejects.toMatchObject(
      refusal("mismatch", /does not rank/),
    );
  });
});
