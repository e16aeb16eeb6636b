// The tokenizer in a GGUF file gives the ids of the tokenizers package for the same tokens, merges and rule of cutting
// (test/golden/make-gguf.py); it is saved with the model, and what it cannot be is refused by name.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { longestHold, shortestHold } from "../data/event-loop";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { type Changes, ggufFile, writeChanged } from "./gguf-files";
import { golden } from "./golden-cases";

const directory = scratch();
let made = 0;
const changed = (keys: Changes["keys"]) => writeChanged(join(directory, `${made++}.gguf`), "tokens", { keys });

interface Ids {
  readonly texts: readonly string[];
  readonly ids: Readonly<Record<string, number[][]>>;
}
const { texts, ids } = JSON.parse(readFileSync(join(golden, "gguf", "ids.json"), "utf8")) as Ids;

test.each(Object.keys(ids))("ids equal the tokenizers package's: %s", async (rule) => {
  using model = await loadModel(await changed({ "tokenizer.ggml.pre": rule }));
  const encoded = await model.tokenizer.encode(texts);
  texts.forEach((text, i) => expect({ text, ids: Array.from(encoded[i]) }).toEqual({ text, ids: ids[rule][i] }));
});

test("special tokens keep their ids and roles, and are saved with the model", async () => {
  using model = await loadModel(ggufFile("tokens"));
  const { tokenizer } = model;
  const [row] = await tokenizer.encode(["<|im_start|>a<user>12<|im_end|>"]);
  expect([tokenizer.size, tokenizer.special, model.architecture.vocabulary]).toEqual([
    324,
    { bos: row[0], eos: row.at(-1), pad: row.at(-1), unk: 0 },
    324,
  ]);
  expect(model.config).toMatchObject({ bos_token_id: row[0], eos_token_id: row.at(-1), pad_token_id: row.at(-1) });
  expect(await tokenizer.decode(row)).toBe("<|im_start|>a<user>12<|im_end|>");
  const path = join(directory, "saved");
  await saveModel(model, path);
  using again = await loadModel(path);
  expect(await again.tokenizer.encode(texts)).toEqual(await tokenizer.encode(texts));
  expect([again.tokenizer.special, again.hash]).toEqual([tokenizer.special, model.hash]);
  expect(JSON.parse(readFileSync(join(path, "tokenizer_config.json"), "utf8"))).toMatchObject({
    chat_template: expect.stringContaining("message"),
    bos_token: "<|im_start|>",
  });
});

test("where the file asks for a start token, the saved tokenizer adds it for other programs, and ours does not", async () => {
  using model = await loadModel(await changed({ "tokenizer.ggml.add_bos_token": true }));
  const [row] = await model.tokenizer.encode(["a"]);
  expect(row).toHaveLength(1);
  const path = join(directory, "with-start");
  await saveModel(model, path);
  expect(JSON.parse(readFileSync(join(path, "tokenizer.json"), "utf8"))).toMatchObject({
    post_processor: { type: "TemplateProcessing", special_tokens: { "<|im_start|>": { ids: [321] } } },
  });
});

test("a file without tokenizer has none", async () => {
  using model = await loadModel(ggufFile("llama"));
  await expect(model.tokenizer.encode(["a"])).rejects.toMatchObject(refusal("missing", /llama\.gguf has no tokenizer/));
});

test("a large vocabulary does not hold the event loop", async () => {
  const words = Array.from({ length: 50_000 }, (_, i) => `word${i}`);
  const path = join(directory, "large.gguf");
  await writeChanged(path, "tokens", {
    keys: {
      "tokenizer.ggml.tokens": words,
      "tokenizer.ggml.token_type": new Int32Array(50_000).fill(1),
      "tokenizer.ggml.merges": [],
    },
  });
  // More tokens than embeddings: refused, but only after the list was read.
  expect(
    await shortestHold(async () => {
      await loadModel(path).catch(() => undefined);
    }),
  ).toBeLessThan(longestHold);
});

test.each<[string, Changes["keys"], string, RegExp]>([
  [
    "an unknown rule of cutting",
    { "tokenizer.ggml.pre": "deepseek-llm" },
    "unknown",
    /tokenizer\.ggml\.pre "deepseek-llm".*Known: gpt-2, smollm, llama-bpe, qwen2/,
  ],
  ["no rule of cutting", { "tokenizer.ggml.pre": undefined }, "missing", /no "tokenizer\.ggml\.pre"/],
  ["another kind", { "tokenizer.ggml.model": "llama" }, "unsupported", /kind "llama"/],
  ["no tokens", { "tokenizer.ggml.tokens": undefined }, "missing", /no "tokenizer\.ggml\.tokens"/],
  ["tokens that are numbers", { "tokenizer.ggml.tokens": Int32Array.of(1, 2) }, "invalid", /list of texts/],
  ["no merges", { "tokenizer.ggml.merges": undefined }, "missing", /no "tokenizer\.ggml\.merges"/],
  ["merges of unknown tokens", { "tokenizer.ggml.merges": ["a zzz"] }, "corrupt", /merge "a zzz".*lacks/],
  [
    "more tokens than embeddings",
    { "tokenizer.ggml.tokens": Array.from({ length: 325 }, (_, i) => `t${i}`) },
    "corrupt",
    /325 tokens but 324 embeddings/,
  ],
  [
    "the same token twice",
    { "tokenizer.ggml.tokens": Array.from({ length: 324 }, () => "same"), "tokenizer.ggml.merges": [] },
    "corrupt",
    /"same" twice/,
  ],
  [
    "types of fewer tokens",
    { "tokenizer.ggml.token_type": Int32Array.of(1, 1) },
    "corrupt",
    /token_type" for each of its 324/,
  ],
  ["a special token that is no number", { "tokenizer.ggml.eos_token_id": "x" }, "corrupt", /eos_token_id" is "x"/],
])("a tokenizer with %s is refused", async (_name, keys, code, words) => {
  await expect(loadModel(await changed(keys))).rejects.toMatchObject(refusal(code as never, words));
});

test("a special token beyond the last is none", async () => {
  using model = await loadModel(
    await changed({ "tokenizer.ggml.bos_token_id": 324, "tokenizer.ggml.padding_token_id": -1 }),
  );
  expect(Object.keys(model.tokenizer.special).sort()).toEqual(["eos", "unk"]);
  expect(model.config).not.toHaveProperty("bos_token_id");
  expect(model.config).not.toHaveProperty("pad_token_id");
});

test("a tokenizer may be given in place of the file's, which is not read then", async () => {
  const path = await changed({ "tokenizer.ggml.model": "t5" });
  await expect(loadModel(path)).rejects.toMatchObject(refusal("unsupported", /"t5"/));
  const folder = join(__dirname, "../data/byte-bpe");
  for (const tokenizer of [folder, join(folder, "tokenizer.json")]) {
    using model = await loadModel(path, { tokenizer });
    expect((await model.tokenizer.encode(["12345 a"]))[0].length).toBeGreaterThan(0);
  }
  await expect(loadModel(path, { tokenizer: {} as never })).rejects.toMatchObject(refusal("invalid", /"tokenizer"/));
});
