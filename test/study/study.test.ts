// A study end to end on tiny models: what it answers, that it goes on where it stopped, and that it computes only what changed.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDefinition } from "../../lib/study/definition";
import { reportOf } from "../../lib/study/report";
import type { StudyResults } from "../../lib/study/results";
import { planStudy, runStudy } from "../../lib/study/run";
import { mibAreas } from "../../lib/study/stages/neuron-rows";
import type { Observer } from "../../lib/study/steps";
import { csvOf } from "../../lib/study/tables";
import type { NeuronCurve } from "../../types/results";
import { rejects } from "../results/refuses";

jest.setTimeout(600_000);
const folder = mkdtempSync(join(tmpdir(), "study-"));
afterAll(() => rmSync(folder, { recursive: true }));

const create = {
  model_type: "gpt_neox",
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 32,
  hidden_dropout: 0,
  attention_dropout: 0,
  initializer_range: 0.2,
};
const study = {
  name: "tiny",
  models: [{ name: "Pythia kind", create }],
  data: [{ name: "claims", format: "countries", countries: 4, wordings: 2, queries: 6 }],
  tune: { epochs: 2, batchSize: 8, learningRate: 0.005, keep: "last" },
  instanceMethods: [
    { name: "EK-FAC", method: "influence", options: { inverse: "ekfac", parameters: "linear" } },
    { name: "Gradient cosine", method: "gradientSimilarity", options: { similarity: "cosine", parameters: "linear" } },
    { name: "BM25", method: "bm25" },
  ],
  neuronMethods: [
    { name: "Integrated gradients", method: "integratedGradients" },
    { name: "Activation", method: "activation" },
  ],
  trainNeurons: { nodes: 4 },
  tests: {
    sizes: [1, 4],
    controls: 2,
    fineTuning: { fractions: [0.5], methods: ["EK-FAC"] },
    linearDatamodeling: { subsets: 3 },
    errorFinding: { share: 0.2 },
    conflicts: 2,
  },
  seeds: [42],
};
const definition = parseDefinition(study, "tiny");

/** Runs steps as they are; counts them, and stops before one whose title is given. */
function observing(stopBefore?: string): Observer & { readonly titles: string[] } {
  const stop = new AbortController();
  const titles: string[] = [];
  return {
    signal: stop.signal,
    titles,
    step: async (title, work) => {
      if (title === stopBefore) stop.abort();
      stop.signal.throwIfAborted();
      titles.push(title);
      return work({ signal: stop.signal });
    },
  };
}

const withoutTimes = ({ times: _times, ...rest }: StudyResults) => JSON.stringify(rest);
let whole: StudyResults;

test("answers every question, with random beside it", async () => {
  const out = join(folder, "whole");
  whole = await runStudy({ definition, out, root: folder, observer: observing() });
  const [subject] = whole.subjects;
  expect(subject.neuronTests.map(({ method }) => method)).toEqual([
    "Integrated gradients",
    "Activation",
    "IA-Neurons of EK-FAC",
    "IA-Neurons of Gradient cosine",
    "IA-Neurons of Random",
  ]);
  expect(subject.instanceOverlap.names).toEqual(["EK-FAC", "Gradient cosine", "NA-Instances", "BM25", "Random"]);
  expect(subject.fineTuning.map(({ method = "–", subset }) => `${method} ${subset}`)).toEqual([
    "– all",
    "– random",
    "EK-FAC most",
    "EK-FAC least",
  ]);
  expect(subject.datamodeling).toHaveLength(5);
  expect(subject.errorFinding?.rows.map(({ method }) => method)).toEqual([
    "Self-influence, gradient norm",
    "Self-influence, EK-FAC",
    "Random",
  ]);
  expect(subject.sanity.map(({ method }) => method)).toEqual([
    "EK-FAC",
    "Gradient cosine",
    "Integrated gradients",
    "Activation",
  ]);
  expect(subject.conflicts).toHaveLength(2);
  expect(subject.outOfDistribution?.rows).toBeGreaterThan(10);
  expect(subject.queries).toHaveLength(6);
  expect(JSON.parse(readFileSync(join(out, "results.json"), "utf8"))).toMatchObject({
    format: "attribution study results",
    version: 1,
  });
  expect(readdirSync(join(out, "tables")).length).toBeGreaterThan(10);
  expect(readFileSync(join(out, "index.html"), "utf8")).toContain("What was found");
});

test("run again it computes nothing, and says the same", async () => {
  const observer = observing();
  const again = await runStudy({ definition, out: join(folder, "whole"), root: folder, observer });
  expect(observer.titles).toEqual(["Reading claims, opening Pythia kind"]);
  expect(withoutTimes(again)).toBe(withoutTimes(whole));
});

test("a method that is added is all that is computed", async () => {
  const observer = observing();
  const more = parseDefinition(
    { ...study, neuronMethods: [...study.neuronMethods, { name: "Gradient", method: "gradient" }] },
    "more",
  );
  await runStudy({ definition: more, out: join(folder, "whole"), root: folder, observer });
  expect(observer.titles.slice(1)).toEqual([
    "Gradient of the queries",
    "Gradient of the queries, re-drawn weights",
    "Neuron tests: Gradient",
  ]);
});

test("stopped in the middle it goes on, and gives what an uninterrupted run gives", async () => {
  const out = join(folder, "stopped");
  await expect(
    runStudy({ definition, out, root: folder, observer: observing("Conflicts of the two views") }),
  ).rejects.toThrow();
  const observer = observing();
  const resumed = await runStudy({ definition, out, root: folder, observer });
  expect(observer.titles).not.toContain("EK-FAC of the queries");
  expect(observer.titles).toContain("Conflicts of the two views");
  expect(withoutTimes(resumed)).toBe(withoutTimes(whole));
});

test("two runs at once in one folder give the same", async () => {
  const run = () => runStudy({ definition, out: join(folder, "both"), root: folder, observer: observing() });
  const [one, other] = await Promise.all([run(), run()]);
  expect(withoutTimes(one)).toBe(withoutTimes(whole));
  expect(withoutTimes(other)).toBe(withoutTimes(whole));
});

test("a plan says what is kept and computes nothing", async () => {
  const fresh = await planStudy({ definition, out: join(folder, "none"), root: folder, observer: observing() });
  expect(fresh.steps.some(({ isKept }) => isKept)).toBe(false);
  expect(fresh.seconds).toBeGreaterThan(0);
  const kept = await planStudy({ definition, out: join(folder, "whole"), root: folder, observer: observing() });
  expect(kept.steps.filter(({ isKept }) => !isKept)).toEqual([]);
  expect(kept.steps.map(({ title }) => title)).toEqual(fresh.steps.map(({ title }) => title));
});

test("rows of one's own with any fields make a study; the report is made of the numbers alone", async () => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    review: `the ${["red", "blue"][i % 2]} thing number ${i} is ${["new", "old"][(i >> 1) % 2]}`,
    label: ["bad", "good"][i % 2],
  }));
  writeFileSync(join(folder, "reviews.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const own = parseDefinition(
    {
      ...study,
      name: "own",
      data: [{ name: "reviews", format: "jsonl", path: "reviews.jsonl", queries: 4 }],
      tests: { sizes: [1], controls: 2, conflicts: 1 },
    },
    "own",
  );
  const results = await runStudy({ definition: own, out: join(folder, "own"), root: folder, observer: observing() });
  const [subject] = results.subjects;
  expect([subject.tracing, subject.coverage, subject.outOfDistribution, subject.errorFinding]).toEqual([
    [],
    [],
    null,
    null,
  ]);
  expect(subject.queries.map(({ label }) => label).sort()).toEqual(["bad", "bad", "good", "good"]);
  const kept = JSON.parse(readFileSync(join(folder, "own", "results.json"), "utf8")) as StudyResults;
  expect(reportOf(kept)).toEqual(reportOf(results));
});

test.each([
  ["too few rows", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n', "invalid", /at least 10 are needed/],
  ["one label only", '{"text": "a", "label": "x"}\n'.repeat(12), "invalid", /at least two different labels/],
  ["no labelled row", '{"text": "a"}\n', "corrupt", /no labelled rows/],
] as const)("%s is refused before anything is tuned", async (_, content, code, words) => {
  writeFileSync(join(folder, "bad.jsonl"), content);
  const bad = parseDefinition({ ...study, data: [{ name: "bad", format: "jsonl", path: "bad.jsonl" }] }, "bad");
  await rejects(
    code,
    () => runStudy({ definition: bad, out: join(folder, "bad"), root: folder, observer: observing() }),
    words,
  );
});

test("MIB's areas are those of a straight line and of a step", () => {
  const estimate = (mean: number) => ({ mean, low: mean, high: mean });
  const curve = (values: readonly number[]) =>
    ({
      points: values.map((value, at) => ({ fraction: at / (values.length - 1), value: estimate(value) })),
    }) as unknown as NeuronCurve;
  const areas = (values: readonly number[]) => mibAreas(curve(values), ({ value }) => value.mean);
  expect(areas([2, 3, 4])).toEqual({ cpr: 0.5, cmd: 0.5 });
  expect(areas([0, 1, 1])).toEqual({ cpr: 0.75, cmd: 0.25 });
});

test("a table becomes CSV with a column for each end of an interval", () => {
  const csv = csvOf({
    columns: [{ label: "Method" }, { label: "Score", unit: "nats" }],
    rows: [
      ['a "b", c', { mean: 1, low: 0, high: 2 }],
      ["d", null],
    ],
  });
  expect(csv).toBe('Method,Score (nats),"Score (nats), low","Score (nats), high"\r\n"a ""b"", c",1,0,2\r\nd,,,\r\n');
});
