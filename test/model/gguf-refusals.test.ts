// GGUF files that contradict themselves or ask for what the library cannot do are refused by the name of the key or tensor.
// What a container can do wrong is tried in test/storage/gguf.test.ts.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadModel } from "../../lib/model/load-model";
import { readGguf } from "../../lib/storage/gguf";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { type Changes, ggufFile, writeChanged } from "./gguf-files";
import { golden } from "./golden-cases";

const directory = scratch();
let made = 0;
const fresh = (): string => join(directory, `hostile-${made++}.gguf`);

afterEach(async () => {
  using model = await loadModel(ggufFile("llama"));
  expect(model.closed).toBe(false);
});

const keys = (changes: Changes["keys"]): Changes => ({ keys: changes });

test.each<[string, Changes, string, RegExp]>([
  [
    "of an unknown architecture",
    keys({ "general.architecture": "gemma" }),
    "unknown",
    /"gemma".*Known: llama, qwen2, qwen3, olmo2, phi3/,
  ],
  ["without architecture", keys({ "general.architecture": undefined }), "missing", /no "general\.architecture"/],
  ["that is an adapter", keys({ "general.type": "adapter" }), "unsupported", /"general\.type": "adapter"/],
  ["that is a part by another name", keys({ "split.count": 2 }), "unsupported", /"split\.count": 2/],
  [
    "with other blocks",
    keys({ "general.quantization_version": 3 }),
    "unsupported",
    /"general\.quantization_version": 3/,
  ],
  [
    "with scaled positions",
    keys({ "llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4 }),
    "unsupported",
    /"llama\.rope\.scaling\.type": "yarn"/,
  ],
  [
    "with scaled frequencies",
    { copies: { "rope_freqs.weight": "output_norm.weight" } },
    "unsupported",
    /"rope_freqs\.weight"/,
  ],
  [
    "with scaled factors",
    { copies: { "rope_factors_long.weight": "output_norm.weight" } },
    "unsupported",
    /"rope_factors_long\.weight"/,
  ],
  [
    "with more positions than it was trained on",
    keys({ "llama.rope.scaling.original_context_length": 8 }),
    "unsupported",
    /original_context_length": 8 of 24 positions/,
  ],
  [
    "with a sliding window",
    keys({ "llama.attention.sliding_window": 8 }),
    "unsupported",
    /sliding_window": 8, shorter than its 24/,
  ],
  ["with experts", keys({ "llama.expert_count": 8 }), "unsupported", /"llama\.expert_count": 8/],
  [
    "with a setting that is not known",
    keys({ "llama.attention.temperature": 0.5 }),
    "unsupported",
    /"llama\.attention\.temperature": 0\.5/,
  ],
  [
    "that rotates a part of each head",
    keys({ "llama.rope.dimension_count": 4 }),
    "unsupported",
    /rope\.dimension_count": 4 with heads of 8/,
  ],
  [
    "with values of another width",
    keys({ "llama.attention.value_length": 16 }),
    "unsupported",
    /value_length": 16 with heads of 8/,
  ],
  ["without a size", keys({ "llama.embedding_length": undefined }), "missing", /no "llama\.embedding_length"/],
  [
    "with a size per layer",
    keys({ "llama.feed_forward_length": Int32Array.of(40, 40) }),
    "invalid",
    /"llama\.feed_forward_length".*Int32Array/,
  ],
  [
    "with layers beyond all numbers",
    keys({ "llama.block_count": 2 ** 32 - 1 }),
    "invalid",
    /"llama\.block_count".*4294967295/,
  ],
  ["without heads", keys({ "llama.attention.head_count": 0 }), "invalid", /"llama\.attention\.head_count"/],
  ["with heads that do not divide", keys({ "llama.attention.head_count": 5 }), "unsupported", /5 heads/],
  [
    "with heads of odd size",
    keys({ "llama.attention.key_length": 7, "llama.rope.dimension_count": undefined }),
    "unsupported",
    /rotary embeddings of 7 of the 7 features of a head/,
  ],
  [
    "with groups that do not divide",
    keys({ "llama.attention.head_count_kv": 3 }),
    "invalid",
    /4 heads.*multiple of its 3/,
  ],
  ["with a norm below zero", keys({ "llama.attention.layer_norm_rms_epsilon": -1.5 }), "invalid", /rms_norm_eps/],
  [
    "with a rotary base that is no number",
    keys({ "llama.rope.freq_base": NaN }),
    "invalid",
    /"llama\.rope\.freq_base"/,
  ],
  [
    "with sizes that its tensors do not have",
    keys({ "llama.feed_forward_length": 41 }),
    "mismatch",
    /\[41, 32\].*\[40, 32\]/,
  ],
  [
    "with more words than embeddings",
    keys({ "llama.vocab_size": 1 << 24 }),
    "mismatch",
    /token_embd\.weight.*\[16777216, 32\]/,
  ],
  ["with a layer more than it has tensors", keys({ "llama.block_count": 3 }), "missing", /"blk\.2\.attn_norm\.weight"/],
  ["with a layer less than it has tensors", keys({ "llama.block_count": 1 }), "mismatch", /"blk\.1\.\w+\.weight"/],
  ["without a tensor", { tensors: { "blk.1.ffn_gate.weight": undefined } }, "missing", /"blk\.1\.ffn_gate\.weight"/],
  ["without embedding", { tensors: { "token_embd.weight": undefined } }, "missing", /"token_embd\.weight"/],
  [
    "with a tensor under another name",
    { tensors: { "blk.1.ffn_gate.weight": "blk.1.ffn_door.weight" } },
    "missing",
    /"blk\.1\.ffn_gate\.weight"/,
  ],
  [
    "with a tensor too many",
    { copies: { "blk.1.attn_q.scale": "blk.1.attn_norm.weight" } },
    "mismatch",
    /"blk\.1\.attn_q\.scale"/,
  ],
])("a GGUF file %s is refused", async (_name, changes, code, words) => {
  await expect(loadModel(await writeChanged(fresh(), "llama", changes))).rejects.toMatchObject(
    refusal(code as never, words),
  );
});

test("settings that change nothing are read past", async () => {
  const path = await writeChanged(
    fresh(),
    "llama",
    keys({
      "general.type": "model",
      "llama.rope.scaling.type": "none",
      "llama.expert_count": 0,
      "llama.attention.sliding_window": 24,
      "llama.tensor_data_layout": "Meta AI original pth",
    }),
  );
  using model = await loadModel(path);
  using plain = await loadModel(ggufFile("llama"));
  expect([model.hash, model.config]).toEqual([plain.hash, plain.config]);
});

test("a block whose scale is NaN is refused by its tensor's name", async () => {
  const path = await writeChanged(fresh(), "blocks", {});
  const bytes = readFileSync(path);
  const tensor = (await readGguf(path)).tensors.find(({ name }) => name === "blk.0.ffn_up.weight")!;
  bytes.writeUInt16LE(0x7e00, tensor.offset);
  writeFileSync(path, bytes);
  await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", /"blk\.0\.ffn_up\.weight" holds NaN/));
});

test("a file cut off anywhere is refused", async () => {
  const bytes = readFileSync(ggufFile("tokens"));
  const path = fresh();
  for (let length = 0; length < bytes.length; length += 997) {
    writeFileSync(path, bytes.subarray(0, length));
    await expect(loadModel(path)).rejects.toMatchObject({ name: "AttributionError", code: "corrupt" });
  }
});

test("what is no GGUF file is refused, and a directory that holds one is told so", async () => {
  const notes = join(directory, "notes.txt");
  writeFileSync(notes, "notes about models");
  await expect(loadModel(notes)).rejects.toMatchObject(refusal("invalid", /GGUF file, or a directory/));
  await expect(loadModel(join(golden, "gguf"))).rejects.toMatchObject(
    refusal("missing", /path of the GGUF file itself: .*\.gguf/),
  );
  writeFileSync(`${notes}.gguf`, "notes about models");
  await expect(loadModel(`${notes}.gguf`)).rejects.toMatchObject(refusal("corrupt", /does not begin with GGUF/));
});
