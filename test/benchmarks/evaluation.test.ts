// The evaluation in small, on made-up files of the real ones' form: that it runs, goes on where it was cut, and judges rightly.
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { measureEvaluation } from "../../benchmarks/cases/evaluation";
import { factFiles, readFacts } from "../../benchmarks/evaluation/facts";
import { pairFiles, readPairs } from "../../benchmarks/evaluation/pairs";
import { readRelations } from "../../benchmarks/evaluation/relations";
import { dataFolder } from "../../benchmarks/evaluation/state";
import type { EvaluationSize } from "../../benchmarks/evaluation/subjects";
import type { Row } from "../../types/data";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";

const recipe = { batchSize: 8, learningRate: 3e-3, dropout: false, keep: "last" } as const;
const size: EvaluationSize = {
  facts: { queries: 4, sentences: 24, background: 20, longest: 12 },
  relations: {
    train: 24,
    queries: 4,
    longest: 12,
    wrong: 0.25,
    inspected: 4,
    relations: { P1: "lies on", P2: "is near" },
  },
  pairs: {
    train: 24,
    queries: 4,
    longest: 12,
    wrong: 0.25,
    inspected: 4,
    classes: ["entailment", "contradiction"],
    taught: 12,
  },
  shape: { vocabulary: 120, hidden: 16, layers: 1, heads: 2 },
  training: { ...recipe, epochs: 1 },
  tuning: { facts: { ...recipe, epochs: 2 }, relations: { ...recipe, epochs: 2 }, pairs: { ...recipe, epochs: 2 } },
  teaching: { ...recipe, epochs: 1 },
  subsets: 4,
  seed: 42,
};

const root = scratch();
const data = join(root, "data");
const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Eight towns with a river each and three sentences that say so; others name the town, or the river, or neither. */
beforeAll(() => {
  for (const folder of ["facts", "mnli"]) mkdirSync(join(data, folder), { recursive: true });
  const towns = Array.from({ length: 8 }, (_, i) => ({
    id: `fact ${i}`,
    predicate_id: `P${1 + (i % 2)}`,
    subject: `Town${i}`,
    object: `river${i}`,
    query: `Town${i} lies on the [MASK] .`,
  }));
  const said = towns.flatMap(({ id, subject, object }) =>
    [
      `${subject} lies on the ${object}.`,
      `The ${object} flows past ${subject}.`,
      `In ${subject} people swim in the ${object}.`,
      `${subject} has a market.`,
      `The ${object} is long.`,
      `A long sentence about nothing that nobody ever wrote down or read again for all I know ${id}.`,
      `Rain falls on hill ${id}.`,
    ].map((sentence) => ({ fact_id: id, sentence })),
  );
  writeFileSync(join(data, factFiles[0]), lines(towns));
  writeFileSync(join(data, factFiles[1]), lines(said));
  const pairs = Array.from({ length: 60 }, (_, i) => ({
    premise: `Dog ${i % 7} runs`,
    hypothesis: `A ${["dog", "cat", "cow"][i % 3]} number ${i % 5} moves`,
    label: ["entailment", "neutral", "contradiction"][i % 3],
  }));
  writeFileSync(join(data, pairFiles[0]), lines(pairs));
  writeFileSync(join(data, pairFiles[1]), lines(pairs.slice(0, 12)));
});

const quiet = { quick: true, log: () => undefined };

test("facts: the truth is every training sentence with subject and object, and the background states nothing that is asked", () => {
  const { train, queries, truth, background } = readFacts(data, size.facts, 42);
  expect([train.length, queries.length, new Set(train).size]).toEqual([24, 4, 24]);
  queries.forEach(({ prompt, answer }, query) => {
    const [subject] = prompt.split(" ");
    expect(prompt).toBe(`${subject} lies on the`);
    expect(
      train.flatMap((sentence, i) => (sentence.includes(subject) && sentence.includes(answer) ? [i] : [])),
    ).toEqual(truth[query]);
    expect(truth[query]).toHaveLength(3);
    expect(background.some((sentence) => sentence.includes(subject) && sentence.includes(answer))).toBe(false);
  });
  expect([...train, ...background].some((sentence) => sentence.startsWith("A long"))).toBe(false);
  expect(readFacts(data, size.facts, 42).train).toEqual(train);
  expect(() => readFacts(data, { ...size.facts, queries: 9 }, 42)).toThrow(/9 facts.*found 8/);
});

test("pairs: a quarter of the labels is wrong, and these are the first half of the inspected rows", async () => {
  const [spoilt, whole] = [
    await readPairs(data, size.pairs, 42),
    await readPairs(data, { ...size.pairs, wrong: 0 }, 42),
  ];
  const changed = spoilt.train.rows.flatMap(({ label }, i) => (label === whole.train.rows[i].label ? [] : [i]));
  expect(changed).toHaveLength(6);
  expect(spoilt.inspected.slice(0, 4).every((i) => changed.includes(i))).toBe(true);
  expect(spoilt.inspected.slice(4).some((i) => changed.includes(i))).toBe(false);
});

test("pairs: the rows that teach the task are right, of the chosen classes, and not those tuned on", async () => {
  const { taught, train } = await readPairs(data, size.pairs, 42);
  expect([taught.rows.length, train.rows.length]).toEqual([12, 24]);
  expect(train.labels).toEqual(["entailment", "contradiction"]);
  for (const { fields, label } of taught.rows)
    expect(String(fields["hypothesis"])).toContain(label === 0 ? "dog" : "cow");
  expect(taught.rows.some(({ id }) => train.rows.some((row) => row.id === id))).toBe(false);
});

test("relations: a sentence's class is the relation of its fact, but where it was changed", async () => {
  const { train, queries, inspected } = await readRelations(data, size.relations, 42);
  expect([train.rows.length, queries.rows.length, train.labels]).toEqual([24, 4, ["lies on", "is near"]]);
  const town = ({ fields }: Row): number => Number(/(?:Town|river|fact )(\d)/.exec(String(fields["text"]))![1]);
  const wrong = train.rows.flatMap((row, i) => (row.label === town(row) % 2 ? [] : [i]));
  expect(wrong).toHaveLength(6);
  expect(inspected.map((i) => wrong.includes(i))).toEqual([true, true, true, true, false, false, false, false]);
  expect(queries.rows.every((row) => row.label === town(row) % 2)).toBe(true);
  expect(queries.rows.some(({ id }) => train.rows.some((row) => row.id === id))).toBe(false);
  await expect(readRelations(data, { ...size.relations, train: 999 }, 42)).rejects.toMatchObject(
    refusal("invalid", /short sentences of each relation/),
  );
});

test("a run has a row per method and measure, and one that was cut goes on without repeating what is there", async () => {
  const state = join(root, "state");
  const cut = {
    quick: true,
    log: (text: string) => {
      if (text.startsWith("pairs: BM25,")) throw new Error("cut");
    },
  };
  await expect(measureEvaluation(size, cut, data, state)).rejects.toThrow("cut");
  const written = () =>
    Object.fromEntries(
      readdirSync(join(state, "facts-scores")).map((name) => [
        name,
        statSync(join(state, "facts-scores", name)).mtimeMs,
      ]),
    );
  const before = written();
  const { table, rows } = await measureEvaluation(size, quiet, data, state);
  expect(written()).toEqual(before);
  expect(Object.keys(before).length).toBeGreaterThan(20);
  expect(table!.rows.map(([name]) => name)).toEqual(
    expect.arrayContaining([
      "random",
      "BM25",
      "influence, EK-FAC",
      "influence, CG, head",
      "influence, Arnoldi, head",
      "TRAK, all epochs, rank 8",
    ]),
  );
  expect(table!.rows.every((row) => row.length === table!.columns.length)).toBe(true);
  const measure = (name: string, group: string, unit: string) =>
    rows.find((row) => row.name === name && row.group === group && row.unit === unit)?.median;
  expect(measure("BM25", "facts", "MRR")).toBeGreaterThan(0.9);
  expect(measure("gradient cosine, rank 16", "pairs", "AUC")).toBeUndefined();
  for (const { unit, median } of rows) {
    expect(Number.isFinite(median)).toBe(true);
    if (unit === "LDS") expect(Math.abs(median)).toBeLessThanOrEqual(1);
  }
  const again = await measureEvaluation(
    size,
    { quick: true, log: (text: string) => expect(text).toMatch(/^state: /) },
    data,
    state,
  );
  expect(again.rows).toEqual(rows);
});

test("without the data it says what is missing and how to name another folder", () => {
  expect(() => dataFolder([...factFiles], join(root, "nowhere"))).toThrow(
    expect.objectContaining(refusal("missing", /trex_facts.*ATTRIBUTION_DATA/s)),
  );
});
