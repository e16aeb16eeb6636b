import { createRandom } from "../lib/random";
import { auc, bootstrapMean, dcg, mean, ndcg, pearson, quantile, ranks, spearman } from "../lib/statistics";
import { refuses } from "./results/refuses";

const normals = (count: number, seed: number) => Array.from({ length: count }, createRandom(seed).normal);

describe("statistics", () => {
  test("a bootstrap interval is the same for the same seed and holds the mean", () => {
    const values = normals(200, 1);
    const estimate = bootstrapMean(values, { seed: 60 });
    expect(bootstrapMean(values, { seed: 60 })).toEqual(estimate);
    expect(bootstrapMean(values, { seed: 73 })).not.toEqual(estimate);
    expect(estimate.low).toBeLessThan(estimate.mean);
    expect(estimate.high).toBeGreaterThan(estimate.mean);
  });

  test("a 95 % bootstrap interval holds the true mean about 95 times of 100", () => {
    let held = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { low, high } = bootstrapMean(normals(60, seed), { seed });
      if (low <= 0 && high >= 0) held++;
    }
    expect(held).toBeGreaterThanOrEqual(180);
    expect(held).toBeLessThanOrEqual(198);
  });

  test("the interval of equal values is that value", () => {
    expect(bootstrapMean([2, 2, 2])).toEqual({ mean: 2, low: 2, high: 2 });
  });

  test("equal values share the mean of their ranks", () => {
    expect([...ranks([30, 10, 20, 10, 30, 30])]).toEqual([5, 1.5, 3, 1.5, 5, 5]);
    expect([...ranks([30, 10, 20, 10], "descending")]).toEqual([1, 3.5, 2, 3.5]);
    expect([...ranks([-Infinity, 0, -0, Infinity])]).toEqual([1, 2.5, 2.5, 4]);
  });

  test("correlations of known lists are known", () => {
    expect(pearson([1, 2, 3], [2, 4, 6])).toBeCloseTo(1, 12);
    expect(pearson([1, 2, 3], [6, 4, 2])).toBeCloseTo(-1, 12);
    expect(pearson([1, 2, 3, 4], [1, 3, 2, 5])).toBeCloseTo(0.8315218406, 9);
    expect(spearman([1, 10, 100, 1000], [1, 2, 3, 4])).toBeCloseTo(1, 12);
    expect(
      spearman([106, 86, 100, 101, 99, 103, 97, 113, 112, 110], [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]),
    ).toBeCloseTo(-29 / 165, 12);
    expect(pearson([1, 1, 1], [1, 2, 3])).toBeNaN();
  });

  test("ndcg is 1 for the best order and the known value for another", () => {
    expect(ndcg([3, 2, 1])).toBe(1);
    expect(dcg([3, 2, 3])).toBeCloseTo(3 + 2 / Math.log2(3) + 1.5, 12);
    expect(ndcg([3, 2, 3, 0, 1, 2])).toBeCloseTo(0.9608081943, 9); // (3 + 2/log2 3 + 3/2 + 1/log2 6 + 2/log2 7) over the same of 3, 3, 2, 2, 1, 0
    expect(ndcg([0, 0])).toBe(0);
    expect(ndcg([0, 1], { k: 1, ideal: [1, 0] })).toBe(0);
  });

  test("auc counts the pairs that are in order, ties half", () => {
    const scores = [0.1, 0.4, 0.35, 0.8, 0.4];
    const positive = [false, false, true, true, true];
    let pairs = 0;
    scores.forEach((a, i) =>
      scores.forEach((b, j) => {
        if (positive[i] && !positive[j]) pairs += a > b ? 1 : a === b ? 0.5 : 0;
      }),
    );
    expect(auc(scores, positive)).toBeCloseTo(pairs / 6, 12);
    expect(auc([1, 2], [1, 1])).toBeNaN();
  });

  test("quantiles are interpolated", () => {
    expect(quantile([0, 10], 0.25)).toBe(2.5);
    expect(quantile([1, 2, 3], 1)).toBe(3);
  });

  test("nothing to average, NaN and lists of different lengths are refused", () => {
    refuses("invalid", () => mean([]));
    refuses("invalid", () => bootstrapMean([1, NaN]));
    refuses("invalid", () => ranks([1, NaN]));
    refuses("mismatch", () => pearson([1], [1, 2]));
    refuses("mismatch", () => auc([1], [true, false]));
  });
});
