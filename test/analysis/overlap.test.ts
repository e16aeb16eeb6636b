import { distinctCounts, layerHistogram, overlap } from "../../lib/analysis/overlap";
import { conflicts } from "../../lib/analysis/conflicts";
import { instancesOf, neuronsOf } from "../results/sample";
import { rejects } from "../results/refuses";

describe("overlap", () => {
  test("counts shared instances per query and over all queries as sets", async () => {
    const a = instancesOf([
      [5, 4, 1, 1, 1],
      [5, 4, 1, 1, 1],
    ]);
    const b = instancesOf([
      [5, 1, 1, 1, 4],
      [1, 1, 4, 5, 1],
    ]);
    const result = await overlap(a, b, { k: 2 });
    expect([...result.perRow]).toEqual([0.5, 0]);
    expect(result).toMatchObject({
      k: 2,
      chance: 0.4,
      mean: { mean: 0.25 },
      sets: { first: 2, second: 4, shared: 1, jaccard: 0.2 },
    });
  });

  test("counts shared units across layers", async () => {
    expect((await overlap(neuronsOf([[1, 2, 3, 4]], 2), neuronsOf([[4, 2, 1, 3]], 2), { k: 2 })).perRow[0]).toBe(0.5);
  });

  test("entries that were never scored (0 and −∞) are never chosen", async () => {
    expect([...(await overlap(neuronsOf([[0, 0, 7, 0]], 1), neuronsOf([[0, 0, 7, 0]], 1), { k: 3 })).perRow]).toEqual([
      1,
    ]);
    expect([...(await overlap(instancesOf([[-Infinity, 0]]), instancesOf([[-Infinity, 0]]))).perRow]).toEqual([0]);
  });

  test("an attribution overlaps itself wholly", async () => {
    const self = instancesOf([
      [1, 2, 3],
      [3, 2, 1],
    ]);
    expect((await overlap(self, self, { k: 2 })).mean).toEqual({ mean: 1, low: 1, high: 1 });
  });

  test("other queries, instances, units and kinds are refused", async () => {
    const a = instancesOf([[1, 2]]);
    await rejects("mismatch", () => overlap(a, instancesOf([[1, 2]], { queryIds: ["z"] })), /queries.* "q0" .* "z"/);
    await rejects("mismatch", () => overlap(a, instancesOf([[1, 2, 3]])), /2 and 3/);
    await rejects("mismatch", () => overlap(a, neuronsOf([[1]], 1) as never), /one kind/);
    await rejects("mismatch", () => overlap(neuronsOf([[1, 2]], 1), neuronsOf([[1, 2]], 2)), /units/);
    await rejects("invalid", () => overlap(a, a, { k: 0 }));
    await rejects("unknown", () => overlap(a, a, { topK: 1 } as never));
  });
});

describe("counts", () => {
  test("distinct choices are counted over rows", async () => {
    expect(
      await distinctCounts(
        instancesOf([
          [3, 2, 1],
          [3, 2, 1],
          [1, 2, 3],
        ]),
        { k: 2 },
      ),
    ).toEqual({ k: 2, chosen: 6, distinct: 3, share: 0.5 });
    expect(await distinctCounts(instancesOf([[0, 0]]))).toEqual({ k: 10, chosen: 0, distinct: 0, share: 0 });
  });

  test("the layer histogram counts units once per row that chooses them", async () => {
    const { counts, shares, distinct } = await layerHistogram(
      neuronsOf(
        [
          [9, 8, 0, 1],
          [9, 0, 8, 0],
        ],
        2,
      ),
      { k: 2 },
    );
    expect([...counts]).toEqual([3, 1]);
    expect([...shares]).toEqual([0.75, 0.25]);
    expect([...distinct]).toEqual([2, 1]);
  });
});

describe("conflicts", () => {
  test("come with the query on which the two rankings are most opposed first", async () => {
    const a = instancesOf([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 1, 1, 1],
    ]);
    const b = instancesOf([
      [1, 2, 3, 4],
      [4, 3, 2, 1],
      [2, 1, 4, 3],
      [1, 2, 3, 4],
    ]);
    const found = await conflicts(a, b, { k: 2 });
    expect(found.map(({ id }) => id)).toEqual(["q1", "q2", "q0", "q3"]);
    expect(found.map(({ correlation }) => correlation)).toEqual([-1, expect.closeTo(0.6, 12), 1, NaN]);
    expect(found.map(({ overlap: shared }) => shared)).toEqual([0, 1, 1, 0]);
  });
});
