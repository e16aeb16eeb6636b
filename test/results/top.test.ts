import { descendingOrder } from "../../lib/ordering";
import { topIndices } from "../../lib/results/ranking";
import { select, top } from "../../lib/results/top";
import { createRandom } from "../../lib/random";
import { instancesOf, neuronsOf, provenanceOf } from "./sample";
import { refuses } from "./refuses";

const bySorting = (scores: ArrayLike<number>, k: number) =>
  Array.from(scores, (score, index) => ({ score, index }))
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, k)
    .map(({ index }) => index);

describe("top", () => {
  test("ranks the training instances of a query by score with their ids", () => {
    expect(
      top(
        instancesOf([
          [9, 9, 9],
          [1, 3, 2],
        ]),
        1,
        2,
      ),
    ).toEqual([
      { index: 1, score: 3, id: "t1" },
      { index: 2, score: 2, id: "t2" },
    ]);
  });

  test("ranks the units of an instance with their layers", () => {
    expect(
      top(
        neuronsOf(
          [
            [0, 0, 0, 0],
            [1, -3, 2, 4],
          ],
          2,
        ),
        1,
        3,
      ),
    ).toEqual([
      { index: 3, score: 4, layer: 1, unit: 1 },
      { index: 2, score: 2, layer: 1, unit: 0 },
      { index: 0, score: 1, layer: 0, unit: 0 },
    ]);
  });

  test("equal scores come in the order of their indices", () => {
    expect(top(instancesOf([[1, 2, 2, 1, 2, -0, 0]]), 0, 7).map(({ index }) => index)).toEqual([1, 2, 4, 0, 3, 5, 6]);
  });

  test("a k beyond the number of entries gives all", () => {
    expect(top(instancesOf([[1, 2]]), 0, 10)).toHaveLength(2);
    expect(top(instancesOf([[1, 2]]), 0, Infinity)).toHaveLength(2);
  });

  test.each([1, 7, 40, 300, 1000])("the top %i equals sorting everything", (k) => {
    const random = createRandom(k);
    for (const values of [8, 50, 1e9]) {
      const scores = Float32Array.from({ length: 1000 }, () => (random.below(values) - values / 2) / 3);
      scores[random.below(1000)] = -Infinity;
      expect([...topIndices(scores, k)]).toEqual(bySorting(scores, k));
      expect([...topIndices(Float64Array.from(scores), k)]).toEqual(bySorting(scores, k));
      expect([...descendingOrder(scores)]).toEqual(bySorting(scores, 1000));
    }
  });

  test("opponents are the lowest scores, lowest first, ties by index", () => {
    const scores = instancesOf([[3, -1, 2, -7, -1, -Infinity]]);
    expect(top(scores, 0, 4, { order: "opponents" })).toEqual([
      { index: 5, score: -Infinity, id: "t5" },
      { index: 3, score: -7, id: "t3" },
      { index: 1, score: -1, id: "t1" },
      { index: 4, score: -1, id: "t4" },
    ]);
    expect(top(scores, 0, 2, { order: "proponents" })).toEqual(top(scores, 0, 2));
    const many = neuronsOf([Array.from({ length: 100 }, (_, i) => (i * 37) % 100)], 2);
    expect(top(many, 0, 3, { order: "opponents" }).map(({ score }) => score)).toEqual([0, 1, 2]);
    refuses("invalid", () => top(scores, 0, 1, { order: "worst" as never }), /"order"/);
    refuses("unknown", () => top(scores, 0, 1, { sort: "opponents" } as never));
  });

  test("of a TopInstances are the entries that it holds", () => {
    const best = {
      kind: "topInstances",
      indices: Int32Array.of(2, 0, 1, 2),
      scores: Float32Array.of(9, 4, 3, -1),
      queries: 2,
      k: 2,
      train: 3,
      queryIds: ["q0", "q1"],
      trainIds: ["t0", "t1", "t2"],
      unit: "test unit",
      provenance: provenanceOf("influence"),
    } as const;
    expect(top(best, 1, 5)).toEqual([
      { index: 1, score: 3, id: "t1" },
      { index: 2, score: -1, id: "t2" },
    ]);
    expect(top(best, 0, 1)).toEqual([{ index: 2, score: 9, id: "t2" }]);
    refuses("invalid", () => top(best, 0, 1, { order: "opponents" }), /without topK/);
    refuses("invalid", () => top(best, 2, 1), /row/);
  });

  test("NaN scores, wrong rows and wrong k are refused", () => {
    refuses("invalid", () => top(instancesOf([[1, NaN]]), 0, 1), /NaN/);
    refuses("invalid", () => top(neuronsOf([Array.from({ length: 100 }, (_, i) => (i === 99 ? NaN : i))], 2), 0, 1));
    refuses("invalid", () => top(instancesOf([[1]]), 1, 1), /row/);
    refuses("invalid", () => top(instancesOf([[1]]), 0, 0), /k/);
    refuses("invalid", () => top(instancesOf([[1]]), 0, NaN));
  });
});

describe("select", () => {
  const neurons = neuronsOf([[10, 1.01, 1, -5, 0, 4]], 2);

  test("keeps all units, signed", () => {
    expect(select(neurons, 0, { keep: "all" }).map(({ index }) => index)).toEqual([0, 5, 1, 2, 4, 3]);
  });

  test("keeps the best k", () => {
    expect(select(neurons, 0, { topK: 2 }).map(({ score }) => score)).toEqual([10, 4]);
  });

  test("keeps the scores above a fraction of the maximum", () => {
    expect(select(neurons, 0, { fractionOfMaximum: 0.1 }).map(({ index }) => index)).toEqual([0, 5, 1]);
    expect(select(neuronsOf([[-1, -2]], 1), 0, { fractionOfMaximum: 0.1 })).toEqual([]);
  });

  test("selections that are none are refused", () => {
    refuses("invalid", () => select(neurons, 0, { fractionOfMaximum: 1 }));
    refuses("invalid", () => select(neurons, 0, { topK: 0 }));
    refuses("invalid", () => select(neurons, 0, {} as never), /selection/);
    refuses("invalid", () => select(neuronsOf([[NaN, 1]], 1), 0, { fractionOfMaximum: 0.1 }));
  });
});
