import { globalRanking } from "../../lib/alignment/global-ranking";
import { instancesOf } from "../results/sample";
import { refuses } from "../results/refuses";

describe("global ranking", () => {
  test("orders training instances by the sum of their ranks", () => {
    expect(
      globalRanking(
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

  test("equal scores share their ranks, −∞ included", () => {
    expect(globalRanking(instancesOf([[-Infinity, 1, -Infinity]])).map(({ rankSum }) => rankSum)).toEqual([
      1, 2.5, 2.5,
    ]);
  });

  test("a query on a large scale outweighs no other", () => {
    const [first] = globalRanking(
      instancesOf([
        [1, 2],
        [1, 2],
        [1e9, 0],
      ]),
    );
    expect(first.index).toBe(1);
  });

  test("NaN is refused", () => refuses("invalid", () => globalRanking(instancesOf([[1, NaN]]))));
});
