import { leaveOneOutCorrelation, linearDatamodelingScore } from "../../lib/analysis/linear-datamodeling-score";
import { mislabelDetection } from "../../lib/analysis/mislabel-detection";
import { createRandom, sampleWithout } from "../../lib/random";
import type { SubsetOutputs } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";
import type { SelfInfluence } from "../../types/store";
import { refusal } from "../storage/refusal";

const [queries, train, subsets] = [4, 12, 30];
const ids = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}${i}`);
const provenance = {
  method: "test",
  options: {},
  modelHash: "",
  dataHashes: {},
  versions: { attribution: "", libtorch: "" },
  dtype: "float64" as const,
};
const attributionOf = (scores: Float32Array, rows = queries, columns = train): InstanceAttribution => ({
  kind: "instances",
  scores,
  queries: rows,
  train: columns,
  queryIds: ids("q", rows),
  trainIds: ids("t", columns),
  unit: "",
  provenance,
});
const random = createRandom(1);
const truth = Float32Array.from({ length: queries * train }, () => random.normal());

/** A world in which outputs are sums of the true effects of the instances that took part. */
function outputsOf(kept: (subset: number) => ArrayLike<number>, count: number): SubsetOutputs {
  const masks = new Uint8Array(count * train);
  for (let s = 0; s < count; s++) for (const i of Array.from(kept(s))) masks[s * train + i] = 1;
  const values = Float64Array.from({ length: count * queries }, (_, at) => {
    const [subset, query] = [Math.floor(at / queries), at % queries];
    return truth
      .subarray(query * train, (query + 1) * train)
      .reduce((sum, effect, i) => sum + effect * masks[subset * train + i], 0);
  });
  return {
    subsets: count,
    train,
    queries,
    masks,
    values,
    output: "logProbability",
    trainIds: ids("t", train),
    queryIds: ids("q", queries),
  };
}
const halves = outputsOf((s) => sampleWithout(train, 6, createRandom(2, s)), subsets);
const without = outputsOf((s) => Array.from({ length: train }, (_, i) => i).filter((i) => i !== s), train);

describe("the linear datamodeling score", () => {
  test("is 1 for the true effects, −1 for their opposite, 0 for constant scores, near 0 for random ones", async () => {
    const { perQuery, mean, skipped } = await linearDatamodelingScore(attributionOf(truth), halves);
    expect(Array.from(perQuery)).toEqual([1, 1, 1, 1]);
    expect(mean).toEqual({ mean: 1, low: 1, high: 1 });
    expect(skipped).toBe(0);
    expect((await linearDatamodelingScore(attributionOf(truth.map((score) => -score)), halves)).mean.mean).toBe(-1);
    expect((await linearDatamodelingScore(attributionOf(truth.map(() => 0)), halves)).mean.mean).toBe(0);
    const chance = (await linearDatamodelingScore(attributionOf(truth.map(() => random.normal())), halves)).mean.mean;
    expect(Math.abs(chance)).toBeLessThan(0.35); // four queries of 30 subsets: deviation 0.09
  });

  test("leaves queries out whose measurement does not vary", async () => {
    const values = halves.values.map((value, at) => (at % queries === 2 ? 5 : value));
    const { perQuery, skipped, mean } = await linearDatamodelingScore(attributionOf(truth), { ...halves, values });
    expect(perQuery[2]).toBeNaN();
    expect(skipped).toBe(1);
    expect(mean.mean).toBe(1);
  });

  test("with one instance left out at a time is the leave-one-out correlation", async () => {
    expect((await leaveOneOutCorrelation(attributionOf(truth), without)).mean.mean).toBeCloseTo(1, 10);
    expect((await leaveOneOutCorrelation(attributionOf(truth.map((score) => -score)), without)).mean.mean).toBeCloseTo(
      -1,
      10,
    );
  });

  test("refuses outputs of other instances and too few subsets", async () => {
    await expect(
      linearDatamodelingScore(attributionOf(truth), { ...halves, trainIds: ids("x", train) }),
    ).rejects.toMatchObject(refusal("mismatch", /same ids/));
    await expect(
      linearDatamodelingScore(
        attributionOf(truth),
        outputsOf(() => [0, 1, 2], 2),
      ),
    ).rejects.toMatchObject(refusal("invalid", /at least 3 subsets/));
    await expect(linearDatamodelingScore(attributionOf(truth), halves, { seeds: 1 } as never)).rejects.toMatchObject(
      refusal("unknown", /"seeds"/),
    );
  });
});

describe("mislabel detection", () => {
  const self = (scores: readonly number[]): SelfInfluence => ({
    kind: "selfInfluence",
    scores: Float32Array.from(scores),
    train: scores.length,
    trainIds: ids("t", scores.length),
    unit: "",
    provenance,
  });

  test("is 1 where the wrong ones score highest, 0 where lowest, a half where all are equal", async () => {
    const scores = [5, 1, 2, 9, 3, 0];
    const found = await mislabelDetection(self(scores), [0, 3], { inspect: [1 / 6, 0.5] });
    expect(found).toMatchObject({
      instances: 6,
      mislabelled: 2,
      auc: { mean: 1, low: 1, high: 1 },
      found: [
        { inspected: 1, share: 0.5 },
        { inspected: 3, share: 1 },
      ],
    });
    expect((await mislabelDetection(self(scores), [5, 1])).auc.mean).toBe(0);
    expect((await mislabelDetection(self([1, 1, 1, 1]), [0])).auc.mean).toBe(0.5);
  });

  test("reads the diagonal of an attribution of the training set to itself", async () => {
    const square = { ...attributionOf(Float32Array.of(9, 0, 0, 0, 1, 0, 0, 0, 2), 3, 3), queryIds: ids("t", 3) };
    expect((await mislabelDetection(square, [0])).auc.mean).toBe(1);
    await expect(mislabelDetection(attributionOf(truth), [0])).rejects.toMatchObject(refusal("mismatch", /same ids/));
  });

  test("refuses none, all and what is no instance", async () => {
    for (const wrong of [[], [0, 1], [2], [0.5]])
      await expect(mislabelDetection(self([1, 2]), wrong)).rejects.toMatchObject(refusal("invalid", /"mislabelled"/));
  });
});
