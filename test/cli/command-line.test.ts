// The command line as its user has it: what each command prints, its exit codes, and what it refuses before work starts.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { runCommandLine } from "../../lib/cli/main";
import { wordTokenizer } from "../../lib/study/claims/word-tokenizer";
import { encode } from "../../lib/data/encode";
import { loadDataset } from "../../lib/data/load-dataset";
import { inputTokens } from "../../lib/neuron/input-tokens";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { load } from "../../lib/results/load";
import { top } from "../../lib/results/top";

jest.setTimeout(600_000);
const folder = mkdtempSync(join(tmpdir(), "command-line-"));
const path = (name: string) => join(folder, name);
const [language, data, unlabelled] = [path("language"), path("claims.jsonl"), path("texts.jsonl")];

beforeAll(async () => {
  execFileSync(process.execPath, [resolve(__dirname, "../../docs/catalogue.mjs")]);
  const rows = Array.from({ length: 12 }, (_, i) => ({
    claim: `the ${["red", "blue"][i % 2]} thing is ${["new", "old", "odd"][i % 3]}`,
    label: ["no", "yes"][i % 2],
  }));
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));
  writeFileSync(unlabelled, rows.map(({ claim }) => JSON.stringify({ text: claim })).join("\n"));
  const tokenizer = await wordTokenizer([...rows.map(({ claim }) => claim), "Claim : / Answer :"]);
  using model = await createModel(
    {
      model_type: "llama",
      vocab_size: tokenizer.size,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      max_position_embeddings: 32,
      initializer_range: 0.2,
    },
    { tokenizer, seed: 3 },
  );
  await saveModel(model, language);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function attribution(
  args: readonly string[],
  { columns, signal = new AbortController().signal }: { columns?: number; signal?: AbortSignal } = {},
): Promise<Ran> {
  let [out, err] = ["", ""];
  const code = await runCommandLine(args, {
    stdout: { isTTY: columns !== undefined, columns, write: (text) => void (out += text) },
    stderr: { write: (text) => void (err += text) },
    env: {},
    signal,
  });
  return { code, out, err };
}

test("help, version and wrong use have their exit codes", async () => {
  const help = await attribution(["--help"]);
  expect(help.code).toBe(0);
  for (const name of [
    "run",
    "explain",
    "index",
    "query",
    "neurons",
    "evaluate",
    "train",
    "report",
    "models",
    "methods",
    "doctor",
    "demo",
    "setup",
  ])
    expect(help.out).toContain(`  ${name} `);
  expect(await attribution(["--version"])).toMatchObject({ code: 0, out: "0.1.0\n" });
  expect((await attribution(["evalute"])).code).toBe(2);
  expect((await attribution(["evalute"])).err).toContain("Did you mean evaluate?");
  expect(await attribution(["evaluate"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("missing required argument 'model'"),
  });
  expect(await attribution(["evaluate", "m", "d", "--batch-tokens", "many"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("Expected a number"),
  });
});

test.each([
  "run",
  "explain",
  "index",
  "query",
  "neurons",
  "evaluate",
  "train",
  "report",
  "models",
  "methods",
  "doctor",
  "demo",
  "setup",
])("help of %s has examples", async (name) => {
  const { code, out } = await attribution([name, "--help"]);
  expect(code).toBe(0);
  expect(out).toMatch(/Examples\n {2}\$ attribution /);
  expect(out).toContain(`attribution ${name}`);
});

test("a file that is not there fails, before a model is loaded", async () => {
  expect(await attribution(["evaluate", "no-model", path("none.jsonl")])).toMatchObject({
    code: 1,
    out: "",
    err: expect.stringContaining("none.jsonl cannot be read"),
  });
});

test("an output that cannot be written is refused before work starts", async () => {
  const { code, err } = await attribution(["train", "no-model", data, join(data, "out")]);
  expect([code, err]).toEqual([2, expect.stringContaining("is a file")]);
});

test("evaluate says what the function says", async () => {
  using model = await loadModel(language);
  const expected = await evaluate(model, await encode(model, await loadDataset("jsonl", { path: unlabelled })));
  const { code, out, err } = await attribution(["evaluate", language, unlabelled, "--json"]);
  expect([code, err]).toEqual([0, ""]);
  expect((JSON.parse(out) as { losses: number[] }).losses).toEqual(Array.from(expected.losses));
  expect((await attribution(["evaluate", language, unlabelled])).out).toContain(expected.meanLoss.toFixed(4));
});

test("explain --help is short, and --help-all has the options of all methods", async () => {
  const [short, long] = [await attribution(["explain", "--help"]), await attribution(["explain", "--help-all"])];
  expect([short.code, long.code]).toEqual([0, 0]);
  expect(short.out.split("\n").length).toBeLessThan(60);
  expect(short.out).toContain("--input-tokens");
  expect(short.out).not.toContain("--damping");
  expect(long.out).toContain("--damping");
});

test("train makes a classifier of labelled rows, and explain finds the rows it comes from", async () => {
  const tuned = path("tuned");
  expect(await attribution(["train", language, data, tuned, "--epochs", "2", "--learning-rate", "0.01"])).toMatchObject(
    { code: 0, out: expect.stringContaining("Saved") },
  );
  using model = await loadModel(tuned);
  expect(model.labels).toEqual(["no", "yes"]);
  const page = path("why.html");
  const { code, out } = await attribution([
    "explain",
    tuned,
    "the red thing is old",
    "--data",
    data,
    "--top",
    "3",
    "--json",
    "--html",
    page,
    "--csv",
    path("why.csv"),
  ]);
  expect(code).toBe(0);
  const train = await encode(model, await loadDataset("jsonl", { path: data }));
  const row = { id: "0", fields: { claim: "the red thing is old" }, label: -1 };
  const [query] = [await encode(model, { name: "q", rows: [row], labels: model.labels, hash: "" })];
  const [label] = (await evaluate(model, query)).predictions;
  const labelled = await encode(model, { name: "q", rows: [{ ...row, label }], labels: model.labels, hash: "" });
  const expected = top(await gradientSimilarity(model, train, labelled, { similarity: "cosine" }), 0, 3);
  const { prompts } = JSON.parse(out) as {
    prompts: {
      prediction: string;
      instances: { id: string; score: number }[];
      units: { neurons: unknown[] };
      inputTokens: { text: string; score: number }[];
    }[];
  };
  const saliency = await inputTokens(model, labelled);
  expect(prompts[0].inputTokens.map(({ score }) => score)).toEqual(Array.from(saliency.scores));
  expect(prompts[0].inputTokens.map(({ text }) => text)).toEqual(await model.tokenizer.tokenTexts(saliency.tokens));
  const lines = readFileSync(path("why.csv"), "utf8").trim().split("\n");
  expect(lines[0]).toBe("prompt,prompt_text,prediction,kind,rank,name,text,score");
  expect(lines).toHaveLength(1 + 3 + 3 + 3 + saliency.tokens.length);
  expect(prompts[0].prediction).toBe(model.labels[label]);
  expect(prompts[0].instances.map(({ id, score }) => [id, score])).toEqual(
    expected.map(({ id, score }) => [id, score]),
  );
  expect(prompts[0].units.neurons).toHaveLength(3);
  expect(readFileSync(page, "utf8")).toContain("the red thing is old");
});

test("index builds a store that query asks, and --append adds to it", async () => {
  const store = path("store");
  const plan = await attribution(["index", language, unlabelled, store, "--plan", "--json"]);
  expect([plan.code, existsSync(store)]).toEqual([0, false]);
  expect(JSON.parse(plan.out)).toMatchObject({ rows: 12 });
  expect(await attribution(["index", language, unlabelled, store, "--rank", "4"])).toMatchObject({
    code: 0,
    out: expect.stringContaining("12 rows"),
  });
  expect(await attribution(["index", language, unlabelled, store, "--rank", "4", "--append"])).toMatchObject({
    code: 0,
    out: expect.stringContaining("24 rows"),
  });
  const { code, out } = await attribution(["query", store, language, "the red thing is", "--top-k", "2", "--json"]);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ kind: "topInstances", k: 2, train: 24 });
});

test("neurons keeps its scores where asked, and refuses another method's flag", async () => {
  const out = path("heads");
  expect(
    (
      await attribution([
        "neurons",
        language,
        "the red thing is",
        "--method",
        "ablation",
        "--site",
        "heads",
        "--out",
        out,
      ])
    ).code,
  ).toBe(0);
  expect(await load(out, { kind: "neurons" })).toMatchObject({ site: "heads", layers: 2, units: 2 });
  expect(await attribution(["neurons", language, "the red", "--method", "ablation", "--nodes", "3"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("--nodes is no option of ablation"),
  });
});

test("a table is as wide as the terminal at most, and the pipe's is whole", async () => {
  const lines = (
    await attribution(["explain", language, "the red thing is", "--data", unlabelled], { columns: 40 })
  ).out.split("\n");
  expect(Math.max(...lines.map((line) => [...stripVTControlCharacters(line)].length))).toBeLessThanOrEqual(40);
  expect((await attribution(["explain", language, "the red thing is", "--data", unlabelled])).out).toContain(
    "the blue thing is new",
  );
});

test("models says what a folder is, or what is unsupported", async () => {
  expect(JSON.parse((await attribution(["models", language, "--json"])).out)).toMatchObject({
    Family: "llama",
    architecture: { layers: 2, intermediate: 24 },
  });
  expect(await attribution(["models", path("nothing")])).toMatchObject({ code: 1, out: "" });
});

test("methods lists the catalogue, and one in full", async () => {
  expect((await attribution(["methods"])).out).toMatch(
    /Over training instances[\s\S]*influence[\s\S]*integratedGradients/,
  );
  expect((await attribution(["methods", "influence"])).out).toMatch(/Source: Koh & Liang 2017[\s\S]*--inverse/);
  expect((await attribution(["methods", "nothing"])).code).toBe(2);
});

test("doctor's numbers are those stored", async () => {
  const { code, out } = await attribution(["doctor", "--json"]);
  expect(code).toBe(0);
  const { checks } = JSON.parse(out) as { checks: { isRight: boolean }[] };
  expect(checks.map(({ isRight }) => isRight)).toEqual([true, true, true, true]);
});

test("stopped, it says so with exit code 130", async () => {
  const stop = new AbortController();
  stop.abort();
  expect(await attribution(["evaluate", language, unlabelled], { signal: stop.signal })).toMatchObject({
    code: 130,
    out: "",
    err: "\nattribution: stopped\n",
  });
});

test("the demo takes a model and rows of any fields, and a second run computes nothing anew", async () => {
  const reviews = path("reviews.csv");
  const lines = Array.from(
    { length: 24 },
    (_, i) => `the ${["red", "blue"][i % 2]} thing is ${["new", "old", "odd"][i % 3]},${["bad", "good"][i % 2]}`,
  );
  writeFileSync(reviews, ["review,label", ...lines].join("\n"));
  const out = path("demo");
  const args = [
    "demo",
    "--model",
    language,
    "--data",
    reviews,
    "--epochs",
    "1",
    "--queries",
    "2",
    "--no-tuning-test",
    "--out",
    out,
  ];
  const first = await attribution(args);
  expect([first.code, first.err]).toEqual([0, ""]);
  expect(first.out).toContain("What was found");
  expect(first.out).not.toMatch(/Supported|undefined|NaN/);
  expect(readFileSync(join(out, "index.html"), "utf8")).toContain("the red thing is");
  expect((await attribution(["report", out, "--out", path("again.html")])).code).toBe(0);
  const { times } = JSON.parse(readFileSync(join(out, "results.json"), "utf8")) as { times: unknown[] };
  expect(times.length).toBeGreaterThan(5);
  expect((await attribution(args)).code).toBe(0);
  expect((JSON.parse(readFileSync(join(out, "results.json"), "utf8")) as { times: unknown[] }).times).toEqual([]);
});

test.each([
  [["demo", "--model", "x"], /go together/],
  [["demo", "--epochs", "3"], /own model/],
  [["demo", "--seed", "-1"], /whole number/],
  [["demo", "facts", "--facts", "1"], /at least 2/],
  [["run", "no/such"], /Presets: small\/claims/],
] as const)("%j is refused", async (args, words) => {
  const { code, out, err } = await attribution(args);
  expect([code > 0, out]).toEqual([true, ""]);
  expect(err).toMatch(words);
});
