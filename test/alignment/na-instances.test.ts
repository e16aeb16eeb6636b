import { naInstances } from "../../lib/alignment/na-instances";
import { createRandom } from "../../lib/random";
import { ndcg } from "../../lib/statistics";
import { neuronsOf, provenanceOf } from "../results/sample";
import { refuses } from "../results/refuses";

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
  ])("with %i query and %i training neurons equals NDCG by its definition", (queryNeurons, topK) => {
    const aligned = naInstances(neuronsOf(queries, 3), neuronsOf(train, 3), { queryNeurons, trainNeurons: { topK } });
    queries.forEach((query, q) =>
      train.forEach((row, t) => {
        expect(aligned.scores[q * 20 + t]).toBeCloseTo(directNdcg(query, row, queryNeurons, topK), 5);
      }),
    );
  });

  test("an instance with the query's own neurons in their order scores 1, one with none of them 0", () => {
    const query = [9, 8, 7, 6, 5, 0, 0, 0];
    const aligned = naInstances(
      neuronsOf([query], 2),
      neuronsOf([query, [0, 0, 0, 0, 0, 1, 2, 3], [0, 0, 0, 0, 0, 0, 0, 0]], 2),
    );
    expect([...aligned.scores]).toEqual([1, 0, 0]);
  });

  test("a query without positive scores matches nothing", () => {
    expect([...naInstances(neuronsOf([[-1, 0]], 1), neuronsOf([[1, 1]], 1)).scores]).toEqual([0]);
  });

  test("the paper's score equals its formula, and is −∞ where no neuron is shared", () => {
    const aligned = naInstances(neuronsOf(queries, 3), neuronsOf(train, 3), { preset: "paper" });
    queries.forEach((query, q) =>
      train.forEach((row, t) => {
        const direct = directPaper(query, row);
        if (Number.isFinite(direct)) expect(aligned.scores[q * 20 + t]).toBeCloseTo(direct, 4);
        else expect(aligned.scores[q * 20 + t]).toBe(direct);
      }),
    );
    expect([...aligned.scores]).toContain(-Infinity);
  });

  test("a list of one neuron has z-score 0 in the paper's score, and ranks first only as a quirk", () => {
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
    expect(naInstances(query, single, { preset: "paper" }).scores[0]).toBe(0);
    expect(naInstances(query, single, { preset: "paper", quirks: ["singleNeuronFirst"] }).scores[0]).toBe(Infinity);
  });

  test("two thousand by two thousand take no time to speak of", () => {
    const many = Array.from({ length: 2000 }, () => Array.from({ length: 400 }, () => random.uniform()));
    const started = performance.now();
    naInstances(neuronsOf(many, 4), neuronsOf(many, 4));
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test("says where it comes from and what a score means", () => {
    const aligned = naInstances(neuronsOf([[1]], 1, { instanceIds: ["a"] }), neuronsOf([[1], [1]], 1));
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

  test("other units, another site, another model, NaN and quirks without the preset are refused", () => {
    const query = neuronsOf([[1, 2, 3, 4]], 2);
    refuses(
      "mismatch",
      () => naInstances(query, neuronsOf([[1, 2, 3, 4]], 1)),
      /2 layers of 2 neurons and 1 layers of 4/,
    );
    refuses("mismatch", () => naInstances(query, { ...query, site: "heads" }));
    refuses("mismatch", () => naInstances(query, { ...query, provenance: provenanceOf("x", "other") }));
    refuses("invalid", () => naInstances(query, neuronsOf([[1, NaN, 3, 4]], 2)), /NaN/);
    refuses("invalid", () => naInstances(query, query, { quirks: ["singleNeuronFirst"] }), /preset/);
    refuses("invalid", () => naInstances(query, query, { preset: "paper", quirks: ["other" as never] }));
    refuses("invalid", () => naInstances(query, query, { trainNeurons: 5 as never }));
    refuses("unknown", () => naInstances(query, query, { topK: 5 } as never));
  });
});
