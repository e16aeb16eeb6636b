// What a study asks beside its tests: sanity of scores, coverage of relations, shares that top lists explain, curves over one r.
import { compareCurves } from "../../lib/analysis/compare-curves";
import { explainedShare } from "../../lib/analysis/explained-share";
import { relationCoverage } from "../../lib/analysis/relation-coverage";
import { sanity } from "../../lib/analysis/sanity";
import { createRandom } from "../../lib/random";
import { spearman } from "../../lib/statistics";
import type { NeuronFaithfulness } from "../../types/results";
import { refuses, rejects } from "../results/refuses";
import { instancesOf, neuronsOf, provenanceOf } from "../results/sample";

const random = createRandom(12);
const noise = (rows: number, columns: number) =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));

describe("sanity", () => {
  test("of scores that do not depend on the weights is a correlation of 1, of independent ones near 0", async () => {
    const [scores, others] = [noise(40, 60), noise(40, 60)];
    const same = await sanity(instancesOf(scores), instancesOf(scores.map((row) => row.map((score) => 3 * score))));
    expect(same).toMatchObject({
      k: 10,
      skipped: 0,
      correlation: { mean: expect.closeTo(1, 12) },
      overlap: { mean: 1 },
    });
    const independent = await sanity(instancesOf(scores), instancesOf(others), { k: 6 });
    expect(Math.abs(independent.correlation.mean)).toBeLessThan(4 / Math.sqrt(40 * 59)); // four standard errors
    expect(independent.overlapChance).toBe(0.1);
    expect([...independent.perQuery]).toEqual(scores.map((row, q) => spearman(row, others[q])));
  });

  test("counts the instances that fill all top lists", async () => {
    const one = instancesOf(noise(5, 1).map(() => [9, 8, 1, 2, 3]));
    const { distinct, distinctRedrawn } = await sanity(one, instancesOf(noise(5, 5)), { k: 2 });
    expect(distinct).toEqual({ k: 2, chosen: 10, distinct: 2, share: 0.2 });
    expect(distinctRedrawn.distinct).toBeGreaterThan(2);
  });

  test("leaves out queries whose scores do not vary, and refuses when none does", async () => {
    const [a, b] = [
      instancesOf([
        [1, 2, 3],
        [1, 1, 1],
      ]),
      instancesOf([
        [3, 2, 1],
        [1, 2, 3],
      ]),
    ];
    expect(await sanity(a, b)).toMatchObject({ skipped: 1, correlation: { mean: expect.closeTo(-1, 12) } });
    await rejects("invalid", () => sanity(instancesOf([[1, 1]]), instancesOf([[1, 2]])), /vary/);
    await rejects("mismatch", () => sanity(a, instancesOf([[1, 2, 3]])));
  });
});

describe("relation coverage", () => {
  const train = ["capital", "capital", "currency", "language"];
  const attribution = instancesOf([
    [4, 1, 3, 2],
    [0, 0, 5, 1],
    [1, 2, 3, 4],
    [0, 0, 0, 0],
  ]);

  test("is the share of the chosen instances with the query's relation", async () => {
    const found = await relationCoverage(attribution, ["capital", "capital", null, "capital"], train, { k: 2 });
    expect([...found.perQuery]).toEqual([0.5, 0, NaN, NaN]);
    expect(found).toMatchObject({ k: 2, chance: 0.5, skipped: 2, share: { mean: 0.25 }, covered: { mean: 0.5 } });
  });

  test("refuses lists of other lengths, and what is no relation", async () => {
    const queries = ["capital", "capital", null, "capital"];
    await rejects("mismatch", () => relationCoverage(attribution, ["a"], train), /4 entries of "queryRelations"/);
    await rejects("mismatch", () => relationCoverage(attribution, queries, ["a"]), /"trainRelations"/);
    await rejects("invalid", () => relationCoverage(attribution, [{}, 1, 2, 3] as never, train));
    await rejects("invalid", () => relationCoverage(attribution, [null, null, null, null], train), /relation/);
  });
});

describe("the share that a top list explains", () => {
  test("equals sums by hand, of the scores and of the prediction", async () => {
    const scores = [
      [0.2, -0.3, 0.1, 0],
      [0, 0, 0, 0],
    ];
    const found = await explainedShare(neuronsOf(scores, 2, { targetValues: Float64Array.of(0.5, 1) }), { k: 2 });
    expect(found.ofScores[0]).toBeCloseTo(0.5 / 0.6, 6);
    expect(found.ofPrediction[0]).toBeCloseTo(0.3 / 0.5, 6);
    expect([found.ofScores[1], found.ofPrediction[1]]).toEqual([NaN, 0]);
    expect(found.meanOfScores).toBeCloseTo(0.5 / 0.6, 6);
  });

  test("of a saturated prediction is small, though its ranking is as clear", async () => {
    const row = [5e-4, 3e-4, 1e-4, 1e-4];
    const { ofScores, ofPrediction } = await explainedShare(neuronsOf([row], 1, { targetValues: Float64Array.of(1) }), {
      k: 2,
    });
    expect(ofScores[0]).toBeCloseTo(0.8, 6);
    expect(ofPrediction[0]).toBeCloseTo(8e-4, 8);
  });

  test("of instance scores is a share of the row only", async () => {
    const found = await explainedShare(instancesOf([[3, -1, 0, 1]]), { k: 1 });
    expect(found.ofScores[0]).toBeCloseTo(0.6, 6);
    expect(found.ofPrediction[0]).toBeNaN();
    await rejects("invalid", () => explainedShare({ kind: "topInstances" } as never));
  });
});

describe("curves over the same r", () => {
  const estimate = (mean: number) => ({ mean, low: mean, high: mean });
  const curve = (values: Readonly<Record<number, number>>, changes: Partial<NeuronFaithfulness> = {}) => ({
    test: "sufficiency" as const,
    site: "neurons" as const,
    points: Object.entries(values).map(([r, value]) => ({
      r: Number(r),
      probabilityChange: estimate(value),
      changedPredictions: estimate(0),
      randomProbabilityChange: estimate(2 * value),
      randomChangedPredictions: estimate(0),
    })),
    aopc: 0,
    randomAopc: 0,
    provenance: provenanceOf("sufficiency"),
    ...changes,
  });

  test("leave out the sizes that one of them lacks", () => {
    expect(compareCurves({ long: curve({ 1: -1, 5: -2, 50: -9 }), short: curve({ 1: -3, 5: -5 }) })).toEqual({
      test: "sufficiency",
      r: [1, 5],
      methods: [
        { name: "long", mean: -1.5, randomMean: -3, leftOut: [50] },
        { name: "short", mean: -4, randomMean: -8, leftOut: [] },
      ],
    });
  });

  test("are refused of different tests or sites, without a common size, and none at all", () => {
    const one = curve({ 1: 0 });
    refuses("mismatch", () => compareCurves({ one, other: curve({ 1: 0 }, { test: "comprehensiveness" }) }), /"other"/);
    refuses("mismatch", () => compareCurves({ one, other: curve({ 1: 0 }, { site: "heads" }) }));
    refuses("mismatch", () => compareCurves({ one, other: curve({ 2: 0 }) }), /same r/);
    refuses("invalid", () => compareCurves({}));
    refuses("invalid", () => compareCurves({ one: 5 } as never));
  });
});
