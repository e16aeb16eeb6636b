import { naInstances } from "../../lib/alignment/na-instances";
import { createRandom } from "../../lib/random";
import { top } from "../../lib/results/top";
import { ndcg } from "../../lib/statistics";
import { neuronsOf, provenanceOf } from "../results/sample";
import { rejects } from "../results/refuses";

const random = createRandom(2);
const noise = (rows: number, columns: number) =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));
const ranking = (row: readonly number[]) =>
  row
    .map((_, index) => index)
    .filter((index) => row[index] > 0)
    .sort((a, b) => row[b] - row[a] || a - b);

/** NDCG by its definition: gains of the training ranking, position by position, against the query's best order. */
function directNdcg(
  query: readonly number[],
  train: readonly number[],
  queryNeurons: number,
  trainNeurons: number,
): number {
  const wanted = ranking(query).slice(0, queryNeurons);
  const gains = ranking(train)
    .slice(0, trainNeurons)
    .map((neuron) => (wanted.includes(neuron) ? query[neuron] : 0));
  return ndcg(gains, { ideal: wanted.map((neuron) => query[neuron]), k: Infinity });
}

/** The paper's formula over the training instance's kept list. */
function directPaper(query: readonly number[], train: readonly number[]): number {
  const list = ranking(train).filter((neuron) => train[neuron] > 0.1 * Math.max(...train));
  const mean = list.reduce((sum, neuron) => sum + train[neuron], 0) / list.length;
  const deviation = Math.sqrt(list.reduce((sum, neuron) => sum + (train[neuron] - mean) ** 2, 0) / list.length);
  const shared = ranking(query)
    .slice(0, 5)
    .filter((neuron) => list.includes(neuron));
  if (shared.length === 0) return -Infinity;
  return shared.reduce(
    (sum, neuron) => sum + (2 ** ((train[neuron] - mean) / deviation) - 1) / Math.log2(list.indexOf(neuron) + 2),
    0,
  );
}

describe("NA-Instances", () => {
  const [queries, train] = [noise(6, 60), noise(20, 60)];

  test.each([
    [5, 100],
    [5, 7],
    [60, 60],
    [1, 1],
  ])("with %i query and %i training neurons equals NDCG by its definition", async (queryNeurons, topK) => {
    const aligned = await naInstances(neuronsOf(queries, 3), neuronsOf(train, 3), {
      queryNeurons,
      trainNeurons: { topK },
    });
    queries.forEach((query, q) =>
      train.forEach((row, t) => {
        expect(aligned.scores[q * 20 + t]).toBeCloseTo(directNdcg(query, row, queryNeurons, topK), 5);
      }),
    );
  });

  test("an instance with the query's own neurons in their order scores 1, one with none of them 0", async () => {
    const query = [9, 8, 7, 6, 5, 0, 0, 0];
    const aligned = await naInstances(
      neuronsOf([query], 2),
      neuronsOf([query, [0, 0, 0, 0, 0, 1, 2, 3], [0, 0, 0, 0, 0, 0, 0, 0]], 2),
    );
    expect([...aligned.scores]).toEqual([1, 0, 0]);
  });

  test("a query without positive scores matches nothing", async () => {
    expect([...(await naInstances(neuronsOf([[-1, 0]], 1), neuronsOf([[1, 1]], 1))).scores]).toEqual([0]);
  });

  test("the paper's score equals its formula, and is −∞ where no neuron is shared", async () => {
    const aligned = await naInstances(neuronsOf(queries, 3), neuronsOf(train, 3), { preset: "paper" });
    queries.forEach((query, q) =>
      train.forEach((row, t) => {
        const direct = directPaper(query, row);
        if (Number.isFinite(direct)) expect(aligned.scores[q * 20 + t]).toBeCloseTo(direct, 4);
        else expect(aligned.scores[q * 20 + t]).toBe(direct);
      }),
    );
    expect([...aligned.scores]).toContain(-Infinity);
  });

  test("a list of one neuron has z-score 0 in the paper's score, and ranks first only as a quirk", async () => {
    const [query, single] = [
      neuronsOf([[5, 4, 3]], 1),
      neuronsOf(
        [
          [0, 1, 0],
          [1, 0, 5],
        ],
        1,
      ),
    ];
    expect((await naInstances(query, single, { preset: "paper" })).scores[0]).toBe(0);
    expect((await naInstances(query, single, { preset: "paper", quirks: ["singleNeuronFirst"] })).scores[0]).toBe(
      Infinity,
    );
  });

  test.each<[string, () => number]>([
    ["scores that are spread out", () => random.normal()],
    ["scores that crowd around one value", () => (random.below(300) === 0 ? 1e30 : 1e-30 * random.uniform())],
    ["few different scores", () => random.below(3)],
  ])("more training instances than a block, with %s, equal NDCG by its definition", async (_name, draw) => {
    const rows = (count: number) => Array.from({ length: count }, () => Array.from({ length: 40 }, draw));
    const [few, many] = [rows(3).map((row) => row.map(Math.fround)), rows(2100).map((row) => row.map(Math.fround))];
    const { scores } = await naInstances(neuronsOf(few, 2), neuronsOf(many, 2), { trainNeurons: { topK: 10 } });
    const direct = few.flatMap((query) => many.map((row) => directNdcg(query, row, 5, 10)));
    expect(Array.from(scores, (score, at) => Math.abs(score - direct[at])).filter((gap) => !(gap < 1e-6))).toEqual([]);
  });

  test.each([1, 7, 100])("with topK %i gives the top of the whole matrix, without it", async (topK) => {
    const [few, many] = [neuronsOf(noise(4, 30), 3), neuronsOf(noise(2100, 30), 3)];
    const [whole, best] = [await naInstances(few, many), await naInstances(few, many, { topK })];
    expect(best).toMatchObject({ kind: "topInstances", queries: 4, k: topK, train: 2100, unit: whole.unit });
    for (let query = 0; query < 4; query++) expect(top(best, query, topK)).toEqual(top(whole, query, topK));
  });

  test("is abortable, and tells how far it is", async () => {
    const many = neuronsOf(noise(2100, 30), 3);
    const stop = new AbortController();
    const stages = new Set<string>();
    await rejects("aborted", () =>
      naInstances(many, many, {
        signal: stop.signal,
        onProgress: ({ stage }) => {
          stages.add(stage);
          if (stage === "NA-Instances") stop.abort("enough");
        },
      }),
    );
    expect([...stages]).toEqual(["query neurons", "NA-Instances"]);
  });

  test("says where it comes from and what a score means", async () => {
    const aligned = await naInstances(neuronsOf([[1]], 1, { instanceIds: ["a"] }), neuronsOf([[1], [1]], 1));
    expect(aligned).toMatchObject({
      kind: "instances",
      queries: 1,
      train: 2,
      queryIds: ["a"],
      trainIds: ["t0", "t1"],
      unit: expect.stringMatching(/^NDCG/),
    });
    expect(aligned.provenance).toMatchObject({
      method: "naInstances",
      options: { queryNeurons: 5, trainNeurons: { topK: 100 } },
    });
  });

  test("other units, another site, another model, NaN and quirks without the preset are refused", async () => {
    const query = neuronsOf([[1, 2, 3, 4]], 2);
    await rejects(
      "mismatch",
      () => naInstances(query, neuronsOf([[1, 2, 3, 4]], 1)),
      /2 layers of 2 neurons and 1 layers of 4/,
    );
    await rejects("mismatch", () => naInstances(query, { ...query, site: "heads" }));
    await rejects("mismatch", () => naInstances(query, { ...query, provenance: provenanceOf("x", "other") }));
    await rejects("invalid", () => naInstances(query, neuronsOf([[1, NaN, 3, 4]], 2)), /NaN/);
    await rejects("invalid", () => naInstances(query, query, { quirks: ["singleNeuronFirst"] }), /preset/);
    await rejects("invalid", () => naInstances(query, query, { preset: "paper", quirks: ["other" as never] }));
    await rejects("invalid", () => naInstances(query, query, { trainNeurons: 5 as never }));
    await rejects("invalid", () => naInstances(query, query, { topK: 0 }), /topK/);
    await rejects("unknown", () => naInstances(query, query, { neurons: 5 } as never));
  });
});
