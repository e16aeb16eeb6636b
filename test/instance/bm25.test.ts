import { bm25 } from "../../lib/instance/bm25";
import { createRandom } from "../../lib/random";
import { top } from "../../lib/results/top";
import { instancesFrom } from "../analysis/instances";
import { rejects } from "../results/refuses";

/** The formula, term by term. */
function direct(
  query: readonly number[],
  train: readonly (readonly number[])[],
  at: number,
  k1: number,
  b: number,
): number {
  const meanLength = train.reduce((sum, row) => sum + row.length, 0) / train.length;
  return query.reduce((sum, term) => {
    const holding = train.filter((row) => row.includes(term)).length;
    const count = train[at].filter((token) => token === term).length;
    const idf = Math.log(1 + (train.length - holding + 0.5) / (holding + 0.5));
    return sum + (idf * count * (k1 + 1)) / (count + k1 * (1 - b + (b * train[at].length) / meanLength));
  }, 0);
}

describe("BM25", () => {
  const random = createRandom(3);
  const texts = (count: number) =>
    Array.from({ length: count }, () => Array.from({ length: 1 + random.below(12) }, () => random.below(15)));
  const [train, queries] = [texts(30), texts(5)];

  test.each([
    [1.5, 0.75],
    [1.2, 0],
    [0.01, 1],
  ])("with k1 %d and b %d equals its formula", async (k1, b) => {
    const { scores } = await bm25(instancesFrom(train), instancesFrom(queries), { k1, b });
    queries.forEach((query, q) =>
      train.forEach((_, t) => expect(scores[q * 30 + t]).toBeCloseTo(direct(query, train, t, k1, b), 4)),
    );
  });

  test("finds the instance that shares the rare token", async () => {
    const result = await bm25(
      instancesFrom(
        [
          [1, 2],
          [1, 7],
          [1, 3],
        ],
        "t",
      ),
      instancesFrom([[1, 7]], "q"),
    );
    expect(top(result, 0, 1)[0]).toMatchObject({ id: "t1" });
    expect(result).toMatchObject({
      kind: "instances",
      queries: 1,
      train: 3,
      queryIds: ["q0"],
      unit: "BM25 term weight (nats)",
    });
    expect(result.provenance).toMatchObject({
      method: "bm25",
      modelHash: "",
      options: { k1: 1.5, b: 0.75 },
      dataHashes: { train: "t-hash", queries: "q-hash" },
    });
  });

  test("unknown tokens score 0 and all rows of an instance count", async () => {
    const { scores } = await bm25(instancesFrom([[[1], [2]], [3]]), instancesFrom([[9], [2]]));
    expect([...scores.map(Math.sign)]).toEqual([0, 0, 1, 0]);
  });

  test("reports progress", async () => {
    const seen: number[] = [];
    await bm25(instancesFrom(train), instancesFrom(queries), { onProgress: ({ done }) => seen.push(done) });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test("an abort, an empty training set and options out of range are refused", async () => {
    await rejects("aborted", () => bm25(instancesFrom(train), instancesFrom(queries), { signal: AbortSignal.abort() }));
    await rejects("invalid", () => bm25(instancesFrom([]), instancesFrom(queries)), /"train".*at least one instance/);
    await rejects("invalid", () => bm25(instancesFrom(train), instancesFrom(queries), { b: 2 }), /"b"/);
    await rejects("unknown", () => bm25(instancesFrom(train), instancesFrom(queries), { k2: 2 } as never));
  });
});
