// loadDataset on the real files (counts as in ../shared/data/PROVENANCE.md), on every published shape, and what bad files get.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDataset, selectRows } from "../../lib/data/dataset";
import { type DatasetName, loadDataset, type LoadDatasetOptions } from "../../lib/data/load-dataset";
import { longestHold, shortestHold } from "./event-loop";
import { sharedData, testOnRealFiles } from "../needs";

const directory = mkdtempSync(join(tmpdir(), "attribution-data-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const load = (name: DatasetName, content: string, options: Partial<LoadDatasetOptions> = {}) =>
  loadDataset(name, { path: file("data", content), ...options });
const jsonLines = (...rows: unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const count = (labels: Iterable<number>): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
  return counts;
};

describe("real files", () => {
  testOnRealFiles("MNLI train has 9,888 rows", ["mnli/mnli_train.jsonl"], async () => {
    const data = await loadDataset("mnli", { path: join(sharedData, "mnli/mnli_train.jsonl") });
    expect(data.rows).toHaveLength(9888);
    expect(data.labels).toEqual(["entailment", "neutral", "contradiction"]);
    expect(count(data.rows.map((row) => row.label))).toEqual({ 0: 3213, 1: 3326, 2: 3349 });
    expect(data.rows[1]).toEqual({
      id: "1",
      fields: {
        premise: "Combined Power Plant Air Pollutant Control ",
        hypothesis: "The power plant has air pollutant control to capture CO2",
      },
      label: 1,
    });
  });

  testOnRealFiles("MNLI dev and the headerless tsv", ["mnli/mnli_dev_matched_first3000.jsonl"], async () => {
    const dev = await loadDataset("mnli", { path: join(sharedData, "mnli/mnli_dev_matched_first3000.jsonl") });
    const against = await loadDataset("mnli", {
      path: join(sharedData, "mnli/mnli_train_contradicting_hans_heuristics.tsv"),
    });
    expect([dev.rows.length, against.rows.length]).toEqual([3000, 261]);
    expect(count(against.rows.map((row) => row.label))).toEqual({ 1: 82, 2: 179 });
  });

  testOnRealFiles(
    "AVeriTeC: evidence as the paper writes it",
    ["averitec/train.json", "averitec/dev.json"],
    async () => {
      const train = await loadDataset("averitec", { path: join(sharedData, "averitec/train.json") });
      const dev = await loadDataset("averitec", { path: join(sharedData, "averitec/dev.json") });
      expect([train.rows.length, dev.rows.length]).toEqual([3068, 500]);
      expect(count(train.rows.map((row) => row.label))).toEqual({ 0: 849, 1: 1742, 2: 282, 3: 195 });
      const question = "Did Hunter Biden have any experience in";
      const joining = "at the time he joined the board of the  Burisma energy company in 2014";
      expect(train.rows[0].fields["evidence"]).toBe(
        `(0)${question} the energy sector ${joining} No (1)${question} Ukraine ${joining} No`,
      );
    },
  );

  testOnRealFiles(
    "CommonsenseQA is listwise",
    ["csqa/train_rand_split.jsonl", "csqa/dev_rand_split.jsonl"],
    async () => {
      const train = await loadDataset("csqa", { path: join(sharedData, "csqa/train_rand_split.jsonl") });
      const dev = await loadDataset("csqa", { path: join(sharedData, "csqa/dev_rand_split.jsonl") });
      expect([train.rows.length, dev.rows.length]).toEqual([9741, 1221]);
      expect(train.labels).toEqual([]);
      expect(count(train.rows.map((row) => row.label))).toEqual({ 0: 1909, 1: 1973, 2: 1946, 3: 1985, 4: 1928 });
      expect(train.rows[0].fields["choices"]).toEqual(["ignore", "enforce", "authoritarian", "yell at", "avoid"]);
    },
  );

  testOnRealFiles("HANS has two classes", ["hans/hans_regenerated_30000.tsv"], async () => {
    const data = await loadDataset("hans", { path: join(sharedData, "hans/hans_regenerated_30000.tsv") });
    expect(data.rows).toHaveLength(30000);
    expect(count(data.rows.map((row) => row.label))).toEqual({ 0: 15000, 1: 15000 });
    expect(data.rows[0]).toMatchObject({
      id: "ex0",
      fields: { premise: "The actors called the bankers .", heuristic: "lexical_overlap" },
      label: 1,
    });
  });

  testOnRealFiles(
    "facts as your own jsonl, and as a JSON array",
    ["facts/trex_facts.jsonl", "facts/known_1000.json"],
    async () => {
      const facts = await loadDataset("jsonl", {
        path: join(sharedData, "facts/trex_facts.jsonl"),
        fields: { prompt: "query", answer: "object" },
        label: "predicate_id",
      });
      const known = await loadDataset("jsonl", {
        path: join(sharedData, "facts/known_1000.json"),
        fields: { prompt: "prompt", answer: "attribute" },
        id: "known_id",
      });
      expect([facts.rows.length, facts.labels.length, known.rows.length]).toEqual([22589, 28, 1209]);
      expect(known.rows[0]).toEqual({
        id: "0",
        fields: { prompt: "Vinson Massif is located in the continent of", answer: "Antarctica" },
        label: -1,
      });
    },
  );

  testOnRealFiles("a 10 MB array never holds the event loop", ["averitec/train.json"], async () => {
    expect(
      await shortestHold(() => loadDataset("averitec", { path: join(sharedData, "averitec/train.json") })),
    ).toBeLessThan(longestHold);
  });

  testOnRealFiles("30,000 lines never hold the event loop", ["hans/hans_regenerated_30000.tsv"], async () => {
    expect(
      await shortestHold(() => loadDataset("hans", { path: join(sharedData, "hans/hans_regenerated_30000.tsv") })),
    ).toBeLessThan(longestHold);
  });
});

describe("shapes of sentence pairs", () => {
  const first = { premise: 'a "quoted" one', hypothesis: "b" };

  test("MultiNLI jsonl: rows without an agreed label are left out", async () => {
    const row = { sentence1: first.premise, sentence2: "b", pairID: "p1", genre: "fiction" };
    const data = await load(
      "mnli",
      jsonLines({ ...row, gold_label: "neutral" }, { ...row, pairID: "p2", gold_label: "-" }),
    );
    expect(data.rows).toEqual([{ id: "p1", fields: { ...first, genre: "fiction" }, label: 1 }]);
  });

  test("GLUE tsv: a quote is a character like any other", async () => {
    const data = await load(
      "mnli",
      `index\tsentence1\tsentence2\tgold_label\r\n0\t${first.premise}\tb\tcontradiction\r\n`,
    );
    expect(data.rows).toEqual([{ id: "0", fields: first, label: 2 }]);
  });

  test("numbered labels, −1 for unknown", async () => {
    const content = jsonLines({ ...first, label: 2 }, { ...first, label: -1 }, { ...first });
    expect((await load("snli", content)).rows.map((row) => row.label)).toEqual([2, -1, -1]);
    expect((await load("snli", content, { onlyLabelled: true })).rows.map((row) => row.id)).toEqual(["0"]);
  });

  test("SNLI txt may end before single annotators' labels, no other column", async () => {
    const header = "gold_label\tsentence1\tsentence2\tlabel1\tlabel2\n";
    expect((await load("snli", `${header}neutral\ta\tb\tneutral\n`)).rows).toHaveLength(1);
    await expect(load("snli", `${header}neutral\ta\n`)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(':2: ends before its column "sentence2"'),
    });
  });

  test("classes can be renamed and joined, or put in an order", async () => {
    const content = jsonLines(
      { ...first, label: "neutral" },
      { ...first, label: "entailment" },
      { ...first, label: 2 },
    );
    const two = await load("mnli", content, { labels: { neutral: "non-entailment", contradiction: "non-entailment" } });
    expect([two.labels, two.rows.map((row) => row.label)]).toEqual([
      ["entailment", "non-entailment"],
      [1, 0, 1],
    ]);
    const ordered = await load("mnli", content, { labels: ["contradiction", "neutral", "entailment"] });
    expect(ordered.rows.map((row) => row.label)).toEqual([1, 2, 0]);
    await expect(load("mnli", content, { labels: ["neutral", "entailment"] })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(":3:"),
    });
  });
});

describe("your own data", () => {
  test("CSV quoting: delimiters, quotes and line breaks inside quotes", async () => {
    const data = await load("csv", '\ufefftext,label,note\r\n"a, ""b""\nc",x,\r\nplain "q",y,""\r\n');
    expect(data.rows.map((row) => row.fields)).toEqual([
      { text: 'a, "b"\nc', note: "" },
      { text: 'plain "q"', note: "" },
    ]);
    expect([data.labels, data.rows.map((row) => row.label)]).toEqual([
      ["x", "y"],
      [0, 1],
    ]);
  });

  test("CSV refusals name file and line", async () => {
    const refused = (content: string, part: string) =>
      expect(load("csv", content)).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining(part) });
    await refused('a,b\n1,2\n"x\ny",1,2\n', "data:3: has 3 cells but the header has 2");
    await refused('a,b\n1,2\n"open,2\n', "data:3: opens a quote that is never closed");
    await refused('a,b\n"x"y,2\n', 'data:2: has "y" after a closing quote');
    await refused("a,a\n1,2\n", 'names the column "a" twice');
    await refused("a,b\n", "holds no rows");
  });

  test("another delimiter, and fields of your own", async () => {
    const data = await load("csv", "q;a;n\nWho?;me;7\n", {
      delimiter: ";",
      fields: { prompt: "q", answer: "a" },
      id: "n",
      label: null,
    });
    expect(data.rows).toEqual([{ id: "7", fields: { prompt: "Who?", answer: "me" }, label: -1 }]);
  });

  test("JSONL: nested keys, choices, and labels by name", async () => {
    const nested = await load("jsonl", jsonLines({ question: { stem: "why" }, y: true }), {
      fields: { text: "question.stem" },
      label: "y",
    });
    expect([nested.rows[0].fields, nested.labels]).toEqual([{ text: "why" }, ["true"]]);
    const listwise = await load(
      "jsonl",
      jsonLines({ question: "q", choices: ["a", "b"], label: "b" }, { question: "q", choices: ["a", "b"], label: 0 }),
    );
    expect([listwise.labels, listwise.rows.map((row) => row.label)]).toEqual([[], [1, 0]]);
    await expect(load("jsonl", jsonLines({ question: "q", choices: ["a", "b"], label: "c" }))).rejects.toMatchObject({
      code: "corrupt",
    });
    await expect(
      load("jsonl", jsonLines({ question: "q", choices: ["a", "b"] }, { question: "q" })),
    ).rejects.toMatchObject({ code: "corrupt" });
  });

  test("the same rows have the same hash, whatever the file's shape", async () => {
    const json = await load("jsonl", jsonLines({ text: "a", label: "x" }));
    const csv = await load("csv", "label,text\nx,a\n");
    const made = await createDataset([{ id: "0", fields: { text: "a" }, label: 0 }], { labels: ["x"] });
    expect(csv.hash).toBe(json.hash);
    expect(made.hash).toBe(json.hash);
    expect((await load("csv", "label,text\nx,b\n")).hash).not.toBe(json.hash);
  });

  test("limit counts kept rows; selectRows picks", async () => {
    const data = await load("jsonl", jsonLines({ text: "a" }, { text: "b", label: "x" }, { text: "c", label: "x" }), {
      onlyLabelled: true,
      limit: 1,
    });
    expect(data.rows.map((row) => row.id)).toEqual(["1"]);
    expect((await selectRows(data, [0, 0])).rows).toHaveLength(2);
    await expect(selectRows(data, [1])).rejects.toMatchObject({ code: "invalid" });
  });
});

describe("refusals", () => {
  const pair = { premise: "a", hypothesis: "b" };
  const cases: [string, DatasetName, string, string, string][] = [
    [
      "broken JSON",
      "mnli",
      `${JSON.stringify({ ...pair, label: "neutral" })}\n{"premise": \n`,
      "corrupt",
      ":2: is not valid JSON",
    ],
    [
      "a row without its text",
      "mnli",
      jsonLines({ premise: "a", label: "neutral" }),
      "corrupt",
      ':1: has no "hypothesis"',
    ],
    ["a label of another task", "mnli", jsonLines({ ...pair, label: "maybe" }), "corrupt", ':1: has the label "maybe"'],
    ["a label number out of range", "mnli", jsonLines({ ...pair, label: 3 }), "corrupt", ":1: has the label 3"],
    ["HANS's label in MNLI", "hans", "gold_label\tsentence1\tsentence2\nneutral\ta\tb\n", "corrupt", ":2:"],
    ["too many cells", "hans", "gold_label\tsentence1\tsentence2\nentailment\ta\tb\tc\n", "corrupt", ":2: has 4 cells"],
    [
      "an array cut off",
      "averitec",
      '[{"claim": "a", "label": "Supported", "questions": []},\n{"claim": "b',
      "corrupt",
      ":2: ends inside the element",
    ],
    ["no comma", "averitec", '[{"claim": "a"}\n{"claim": "b"}]', "corrupt", ":2: expected a comma"],
    [
      "questions that are none",
      "averitec",
      '[{"claim": "a", "label": "Supported", "questions": 3}]',
      "corrupt",
      ':1: expected "questions" to be an array',
    ],
    [
      "an answer that is no choice",
      "csqa",
      jsonLines({
        id: "1",
        answerKey: "C",
        question: {
          stem: "s",
          choices: [
            { label: "A", text: "a" },
            { label: "B", text: "b" },
          ],
        },
      }),
      "corrupt",
      ':1: has the answer "C"',
    ],
    ["a file without rows", "jsonl", "\n\n", "corrupt", "is empty"],
  ];
  test.each(cases)("%s", async (_, name, content, code, part) => {
    await expect(load(name, content)).rejects.toMatchObject({
      name: "AttributionError",
      code,
      message: expect.stringContaining(part),
    });
  });

  test("files that are no text, no file, not there", async () => {
    const path = file("bytes", Uint8Array.of(123, 34, 255, 254, 34, 125, 10));
    await expect(loadDataset("jsonl", { path })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("UTF-8"),
    });
    await expect(loadDataset("jsonl", { path: directory })).rejects.toMatchObject({ code: "invalid" });
    await expect(loadDataset("jsonl", { path: join(directory, "absent") })).rejects.toMatchObject({ code: "missing" });
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]); // would be waited for without end
    await expect(loadDataset("jsonl", { path: pipe })).rejects.toMatchObject({ code: "invalid" });
    await expect(loadDataset("jsonl", { path: "/dev/zero" })).rejects.toMatchObject({ code: "invalid" });
    await expect(loadDataset("jsonl", { path: file("long", "x".repeat(3 << 20)) })).rejects.toMatchObject({
      code: "corrupt",
    });
  });

  test("options", async () => {
    const path = file("ok", jsonLines({ text: "a" }));
    const refused = async (name: string, options: object, code: string) =>
      expect(loadDataset(name as DatasetName, options as LoadDatasetOptions)).rejects.toMatchObject({ code });
    await refused("mnlii", { path }, "unknown");
    await refused("toString", { path }, "unknown");
    await refused("jsonl", {}, "invalid");
    await refused("jsonl", { path, limt: 3 }, "unknown");
    await refused("jsonl", { path, limit: 0 }, "invalid");
    await refused("jsonl", { path, fields: {} }, "invalid");
    await refused("jsonl", { path, delimiter: ";" }, "invalid");
    await refused("csv", { path, delimiter: "ab" }, "invalid");
    await refused("mnli", { path, fields: { premise: "text" } }, "invalid");
    await refused("csqa", { path, labels: ["a"] }, "invalid");
    await refused("jsonl", { path, labels: ["a", "a"] }, "invalid");
    await refused("jsonl", { path, fields: { text: "other" } }, "corrupt");
  });

  test("an abort before and during a call; a valid call afterwards works", async () => {
    const path = file("many", jsonLines(...Array.from({ length: 5000 }, (_, index) => ({ text: `row ${index}` }))));
    await expect(loadDataset("jsonl", { path, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "aborted",
    });
    const abort = new AbortController();
    const during = loadDataset("jsonl", {
      path,
      signal: abort.signal,
      onProgress: () => {
        abort.abort();
      },
    });
    await expect(during).rejects.toMatchObject({ code: "aborted" });
    expect((await loadDataset("jsonl", { path })).rows).toHaveLength(5000);
  });

  test("rows made in memory are checked", async () => {
    const row = { id: "a", fields: { text: "t" }, label: 0 };
    await expect(createDataset([row])).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("rows[0].label"),
    });
    await expect(
      createDataset([{ ...row, fields: { text: 3 as unknown as string } }], { labels: ["x"] }),
    ).rejects.toMatchObject({ code: "invalid" });
    await expect(createDataset([row], { labels: ["x", "x"] })).rejects.toMatchObject({ code: "invalid" });
    expect((await createDataset([{ id: "q", fields: { choices: ["a", "b"] }, label: 1 }])).labels).toEqual([]);
  });
});

describe("what is no label, and what is no text", () => {
  test('−1, "-", "n/a" and nothing are no label, in CSV and in JSONL', async () => {
    const none = ["-1", "-", "n/a", "N/A", ""];
    const csvPath = file(
      "none.csv",
      `text,label\n${[...none, "yes"].map((label, row) => `t${row},${label}`).join("\n")}\n`,
    );
    const jsonPath = file(
      "none.jsonl",
      jsonLines(...[...none, -1, null, "yes"].map((label, row) => ({ text: `t${row}`, label }))),
    );
    for (const [name, path, rows] of [
      ["csv", csvPath, 5],
      ["jsonl", jsonPath, 7],
    ] as const) {
      const { rows: found, labels } = await loadDataset(name, { path });
      expect([labels, found.map(({ label }) => label)]).toEqual([["yes"], [...new Array<number>(rows).fill(-1), 0]]);
    }
  });

  test("records without a text are refused, with what they have instead", async () => {
    const refused = (content: object): Promise<unknown> =>
      loadDataset("jsonl", { path: file("odd.jsonl", JSON.stringify(content)) });
    await expect(refused({ data: [{ text: "a" }] })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(
        /odd\.jsonl:1: has no text, only "data"\. Give a file that holds the list "data" alone/,
      ) as string,
    });
    await expect(refused({ inner: { text: "a" } })).rejects.toMatchObject({
      message: expect.stringContaining('the option "fields"') as string,
    });
  });

  test("a CSV whose lines end in bare carriage returns is refused by that", async () => {
    const path = file("mac.csv", "text,label\rone,a\rtwo,b\r");
    await expect(loadDataset("csv", { path })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(/mac\.csv:1: has a carriage return without a line feed/) as string,
    });
  });
});
