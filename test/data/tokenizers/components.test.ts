// Every component of a tokenizer gives what the Rust tokenizers give on seeded random texts (components-golden.json, made by
// rust-cases.py --golden). `npm run check:tokenizers` is the long form, and shows the text where a hash differs.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { define } from "../../../lib/data/tokenizers/definition";
import { type Pipeline, pipelineOf } from "../../../lib/data/tokenizers/pipeline";
import { surroundOf } from "../../../lib/data/tokenizers/post-processors";

type Json = Readonly<Record<string, unknown>>;

interface Case {
  readonly case: string;
  readonly json: Json;
  readonly model: number;
  /** Ids of "" and "a" with the post-processor, of "a" without it. */
  readonly around: readonly [number[], number[], number[]] | null;
  readonly draws: readonly number[][];
  readonly decoded: readonly (string | null)[];
  readonly hash: string;
}
const golden = JSON.parse(readFileSync(join(__dirname, "components-golden.json"), "utf8")) as {
  readonly texts: readonly string[];
  readonly models: readonly Json[];
  readonly cases: readonly Case[];
};

/** Null where the tokenizer refuses, as Rust does. */
function idsOf(pipeline: Pipeline, text: string): readonly number[] | null {
  try {
    return pipeline.encode(text);
  } catch {
    return null;
  }
}

test.each(golden.cases.map((entry) => [entry.case, entry] as const))("%s", (_, entry) => {
  const definition = define({ added_tokens: [], ...entry.json, model: golden.models[entry.model] }, {});
  const pipeline = pipelineOf(definition);
  const ids = golden.texts.map((text) => idsOf(pipeline, text));
  expect(createHash("sha256").update(JSON.stringify(ids)).digest("hex")).toBe(entry.hash);
  expect(entry.draws.map((draw) => pipeline.decode(draw))).toEqual(entry.decoded);
  const { start, end } = surroundOf(entry.json["post_processor"]);
  const [none, one, alone] = entry.around ?? [[...start, ...end], [], []];
  expect([...start, ...end]).toEqual(none);
  if (entry.around !== null) expect([...start, ...alone, ...end]).toEqual(one);
});
