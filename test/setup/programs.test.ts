// The small programs in examples/ run as they stand, on a tiny language model in a folder of their own, and none is longer than ten lines.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as attribution from "../../lib";
import { wordTokenizer } from "../../lib/study/claims/word-tokenizer";

const examples = resolve(__dirname, "../../examples");
const folder = mkdtempSync(join(tmpdir(), "examples-"));
const before = process.cwd();
const capitals = { france: "paris", italy: "rome", spain: "madrid", japan: "tokyo" };

beforeAll(async () => {
  const texts = Object.entries(capitals).flatMap(([country, capital]) => [
    `the capital of ${country} is ${capital}`,
    `${capital} is the capital of ${country}`,
  ]);
  writeFileSync(join(folder, "train.jsonl"), texts.map((text) => JSON.stringify({ text })).join("\n"));
  const tokenizer = await wordTokenizer(texts);
  const config = {
    model_type: "llama",
    vocab_size: tokenizer.size,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 32,
    initializer_range: 0.2,
  };
  using model = await attribution.createModel(config, { tokenizer, seed: 3 });
  await attribution.saveModel(model, join(folder, "models/my-model"));
  process.chdir(folder);
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

/** A program with its import as a constant: the library under test stands for the installed one. */
async function run(name: string): Promise<string[]> {
  const source = readFileSync(join(examples, name), "utf8").replace(
    /import \{([^}]+)\} from "attribution";/,
    "const {$1} = attribution;",
  );
  const said: string[] = [];
  const AsyncFunction = (async () => undefined).constructor as new (
    ...parts: string[]
  ) => (...values: unknown[]) => Promise<void>;
  const console = { log: (...values: unknown[]) => said.push(values.map(String).join(" ")) };
  await new AsyncFunction("attribution", "console", source)(attribution, console);
  return said;
}

const programs = readdirSync(examples).filter((name) => name.endsWith(".mjs"));

test.each(programs)("%s is at most ten lines and says something", async (name) => {
  const lines = readFileSync(join(examples, name), "utf8").split("\n");
  expect(lines.filter((line) => line.trim() !== "" && !/^\/\/|^import /.test(line)).length).toBeLessThanOrEqual(10);
  const said = await run(name);
  expect(said.join("\n")).not.toMatch(/undefined|NaN/);
  expect(said.length > 0 || existsSync(join(folder, "report.html"))).toBe(true);
});

test("the training texts are the ones that the function ranks first", async () => {
  const said = await run("training-texts.mjs");
  expect(said).toHaveLength(5);
  const scores = said.map((line) => Number(line.split(" ")[0]));
  expect([...scores].sort((a, b) => b - a)).toEqual(scores);
});
