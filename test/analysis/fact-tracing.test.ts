import { factTracing } from "../../lib/analysis/fact-tracing";
import { createRandom, shuffle } from "../../lib/random";
import { instancesOf } from "../results/sample";
import { rejects } from "../results/refuses";

describe("fact tracing", () => {
  test("recall@k and the reciprocal rank of a known ranking are known", async () => {
    const result = await factTracing(
      instancesOf([
        [9, 8, 7, 6],
        [9, 8, 7, 6],
      ]),
      [[1, 3], [0]],
      { k: [1, 2, 4] },
    );
    expect(result.recall.map(({ estimate }) => estimate.mean)).toEqual([0.5, 0.75, 1]);
    expect([...result.reciprocalRanks]).toEqual([0.5, 1]);
    expect(result.meanReciprocalRank.mean).toBe(0.75);
  });

  test("queries without known truth are left out and counted", async () => {
    expect(
      await factTracing(
        instancesOf([
          [2, 1],
          [2, 1],
        ]),
        [[], [1]],
      ),
    ).toMatchObject({ queries: 1, skipped: 1, meanReciprocalRank: { mean: 0.5 } });
  });

  test("equal scores give what random order gives on average", async () => {
    const scores = [3, 2, 2, 2, 2, 1, 1];
    const truth = [2, 4, 6];
    const result = await factTracing(instancesOf([scores]), [truth], { k: [3] });
    let [recall, reciprocal] = [0, 0];
    const draws = 20_000;
    const random = createRandom(1);
    for (let draw = 0; draw < draws; draw++) {
      const order = shuffle(
        scores.map((_, index) => index),
        random,
      ).sort((a, b) => scores[b] - scores[a]);
      recall += order.slice(0, 3).filter((index) => truth.includes(index)).length / truth.length / draws;
      reciprocal += 1 / (order.findIndex((index) => truth.includes(index)) + 1) / draws;
    }
    expect(result.recall[0].estimate.mean).toBeCloseTo(recall, 2);
    expect(result.meanReciprocalRank.mean).toBeCloseTo(reciprocal, 2);
  });

  test("a constant score is chance", async () => {
    const result = await factTracing(instancesOf([new Array<number>(50).fill(1)]), [[7]], { k: [10] });
    expect(result.recall[0].estimate.mean).toBeCloseTo(0.2, 12);
    expect(result.meanReciprocalRank.mean).toBeCloseTo(
      Array.from({ length: 50 }, (_, rank) => 1 / (rank + 1)).reduce((a, b) => a + b) / 50,
      12,
    );
  });

  test("−∞ scores rank last", async () => {
    expect((await factTracing(instancesOf([[-Infinity, 1, -Infinity]]), [[1]])).meanReciprocalRank.mean).toBe(1);
    expect((await factTracing(instancesOf([[-Infinity, 1, -Infinity]]), [[0]])).meanReciprocalRank.mean).toBeCloseTo(
      (1 / 2 + 1 / 3) / 2,
      12,
    );
  });

  test("truth for other queries, outside the training set, or none at all, NaN and broken cut-offs are refused", async () => {
    const attribution = instancesOf([[1, 2]]);
    await rejects("mismatch", () => factTracing(attribution, []), /1 queries but received 0/);
    await rejects("invalid", () => factTracing(attribution, [[2]]), /truth\[0\]/);
    await rejects("invalid", () => factTracing(attribution, [[]]));
    await rejects("invalid", () => factTracing(instancesOf([[1, NaN]]), [[0]]), /NaN/);
    await rejects("invalid", () => factTracing(instancesOf([[1, NaN]]), [[1]]), /NaN/);
    await rejects("invalid", () => factTracing(attribution, [[0]], { k: [0] }));
    await rejects("invalid", () => factTracing(attribution, [[0]], { k: 10 as never }));
  });
});
