import { diversity, diversityCorrelation } from "../../lib/analysis/diversity";
import { createRandom } from "../../lib/random";
import { refuses, rejects } from "../results/refuses";
import { instancesFrom } from "./instances";

describe("diversity", () => {
  const instances = instancesFrom([
    [1, 2, 3],
    [
      [3, 4],
      [3, 5, 5],
    ],
    [9],
  ]);

  test("counts different tokens and lengths, all choices of an instance together", async () => {
    expect(await diversity(instances, [0, 1])).toMatchObject({
      instances: 2,
      tokens: 8,
      distinctTokens: 5,
      meanLength: 4,
      meanLoss: NaN,
      meanPairwiseCosine: NaN,
    });
  });

  test("an instance named twice counts once", async () => {
    expect(await diversity(instances, [2, 2], { losses: [1, 2, 3] })).toMatchObject({
      instances: 1,
      tokens: 1,
      meanLoss: 3,
    });
  });

  test("the mean pairwise cosine equals the mean over all pairs", async () => {
    const random = createRandom(1);
    const states = Float32Array.from({ length: 3 * 5 }, random.normal);
    const row = (at: number) => Array.from(states.subarray(at * 5, at * 5 + 5));
    const dot = (a: number[], b: number[]) => a.reduce((sum, value, at) => sum + value * b[at], 0);
    const cosine = (a: number[], b: number[]) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const pairs = [
      [0, 1],
      [0, 2],
      [1, 2],
    ].map(([a, b]) => cosine(row(a), row(b)));
    expect((await diversity(instances, [0, 1, 2], { states })).meanPairwiseCosine).toBeCloseTo(
      (pairs[0] + pairs[1] + pairs[2]) / 3,
      6,
    );
  });

  test("no instances, unknown instances, a zero state and lists of the wrong length are refused", async () => {
    await rejects("invalid", () => diversity(instances, []));
    await rejects("invalid", () => diversity(instances, [3]), /0–2/);
    await rejects("invalid", () => diversity(instances, [0, 1], { states: new Float32Array(6) }), /norm 0/);
    await rejects("invalid", () => diversity(instances, [0], { states: new Float32Array(7) }));
    await rejects("invalid", () => diversity(instances, [0], { losses: [1] }));
  });

  test("its correlation with results is Pearson's and Spearman's", () => {
    expect(diversityCorrelation([1, 2, 10], [0.1, 0.2, 0.3])).toEqual({
      pairs: 3,
      spearman: expect.closeTo(1, 12),
      pearson: expect.closeTo(9 / Math.sqrt((2 * 146) / 3), 12),
    });
    refuses("invalid", () => diversityCorrelation([1], [1]));
    refuses("mismatch", () => diversityCorrelation([1, 2], [1]));
  });
});
