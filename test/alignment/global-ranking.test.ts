import { createRandom } from "../../lib/random";
import { globalRanking } from "../../lib/alignment/global-ranking";
import { instancesOf } from "../results/sample";
import { rejects } from "../results/refuses";

describe("global ranking", () => {
  test("orders training instances by the sum of their ranks", async () => {
    expect(
      await globalRanking(
        instancesOf([
          [3, 1, 2],
          [1000, 10, 2000],
        ]),
      ),
    ).toEqual([
      { index: 0, id: "t0", rankSum: 3 },
      { index: 2, id: "t2", rankSum: 3 },
      { index: 1, id: "t1", rankSum: 6 },
    ]);
  });

  test("equal scores share their ranks, −∞ included", async () => {
    expect((await globalRanking(instancesOf([[-Infinity, 1, -Infinity]]))).map(({ rankSum }) => rankSum)).toEqual([
      1, 2.5, 2.5,
    ]);
  });

  test("a query on a large scale outweighs no other", async () => {
    const [first] = await globalRanking(
      instancesOf([
        [1, 2],
        [1, 2],
        [1e9, 0],
      ]),
    );
    expect(first.index).toBe(1);
  });

  test("equals counting, row by row", async () => {
    const random = createRandom(8);
    const rows = Array.from({ length: 5 }, () => Array.from({ length: 50 }, () => random.below(20)));
    const rankSum = (index: number) =>
      rows.reduce((sum, row) => {
        const above = row.filter((score) => score > row[index]).length;
        return sum + above + (row.filter((score) => score === row[index]).length + 1) / 2;
      }, 0);
    const ranking = await globalRanking(instancesOf(rows));
    expect(ranking.map((entry) => entry.rankSum)).toEqual(ranking.map(({ index }) => rankSum(index)));
    expect(ranking.every(({ rankSum: sum }, at) => at === 0 || sum >= ranking[at - 1].rankSum)).toBe(true);
  });

  test("NaN is refused", () => rejects("invalid", () => globalRanking(instancesOf([[1, NaN]]))));
});
