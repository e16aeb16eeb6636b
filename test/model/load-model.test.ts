import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { loadModel } from "../../lib/model/load-model";
import { handleOf } from "../../lib/model/model";
import { safetensorsHeader } from "../../lib/storage/safetensors";
import type { Model } from "../../types/model";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { cases, expectedOf, golden, headOf, logitTolerance, relativeDifference } from "./golden-cases";

const directory = scratch();
let copies = 0;
function copyOf(name: string): string {
  const path = join(directory, `copy-${copies++}`);
  cpSync(join(golden, name), path, { recursive: true });
  return path;
}

/** How far logits and losses are from transformers'. */
async function differencesOf(model: Model, name: string): Promise<{ logits: number; losses: number }> {
  const wanted = await expectedOf(name, model.architecture.head.kind);
  const actual = await evaluate(model, wanted.instances, { logits: true });
  return {
    logits: relativeDifference(actual.logits ?? [], wanted.logits),
    losses: relativeDifference(actual.losses, wanted.losses),
  };
}

describe("a loaded model", () => {
  test.each(cases)("%s gives transformers' logits and losses", async (name) => {
    using model = await loadModel(join(golden, name), { head: headOf(name) });
    const { logits, losses } = await differencesOf(model, name);
    expect(logits).toBeLessThan(logitTolerance);
    expect(losses).toBeLessThan(logitTolerance);
  });

  test("computes in float64 as in float32", async () => {
    using model = await loadModel(join(golden, "llama-gqa"), { dtype: "float64" });
    expect((await differencesOf(model, "llama-gqa")).logits).toBeLessThan(logitTolerance);
    expect(model.dtype).toBe("float64");
  });

  test("knows its labels, its size and its hash", async () => {
    using model = await loadModel(join(golden, "opt-classification"));
    expect(model.labels).toHaveLength(3);
    expect(model.parameters).toBeGreaterThan(1_000);
    expect(model.hash).toMatch(/^[0-9a-f]+$/);
    using again = await loadModel(join(golden, "opt-classification"));
    expect(again.hash).toBe(model.hash);
    using other = await loadModel(join(golden, "opt"));
    expect(other.hash).not.toBe(model.hash);
  });

  test("gets a new head from the seed, the same for the same seed", async () => {
    const head = { kind: "classification", labels: ["a", "b", "c"] } as const;
    const load = (seed: number) => loadModel(join(golden, "gpt2"), { head, seed });
    using first = await load(1);
    using second = await load(1);
    using third = await load(2);
    expect([first.hash === second.hash, first.hash === third.hash]).toEqual([true, false]);
    expect(first.labels).toEqual(head.labels);
  });

  test("without tokenizer refuses texts in words", async () => {
    using model = await loadModel(join(golden, "opt"));
    await expect(model.tokenizer.encode(["a"])).rejects.toMatchObject(refusal("missing", /no tokenizer/));
  });

  test("is found by its hub id in the Hugging Face cache", async () => {
    const cache = join(directory, "hub");
    const snapshots = join(cache, "models--someone--tiny", "snapshots");
    mkdirSync(snapshots, { recursive: true });
    mkdirSync(join(cache, "models--someone--tiny", "refs"));
    writeFileSync(join(cache, "models--someone--tiny", "refs", "main"), "abc123");
    symlinkSync(join(golden, "gpt2"), join(snapshots, "abc123"));
    const before = process.env["HF_HUB_CACHE"];
    process.env["HF_HUB_CACHE"] = cache;
    try {
      using model = await loadModel("someone/tiny");
      expect(model.architecture.family).toBe("gpt2");
      await expect(loadModel("someone/other")).rejects.toMatchObject(refusal("missing", /HF_HUB_OFFLINE/));
    } finally {
      if (before === undefined) delete process.env["HF_HUB_CACHE"];
      else process.env["HF_HUB_CACHE"] = before;
    }
  });

  test("can be closed twice, and refuses calls afterwards", async () => {
    const model = await loadModel(join(golden, "gpt2"));
    expect(model.closed).toBe(false);
    model.close();
    model.close();
    expect(model.closed).toBe(true);
    expect(() => handleOf(model)).toThrow(expect.objectContaining(refusal("invalid", /closed/)));
    expect(() => handleOf({ ...model })).toThrow(expect.objectContaining(refusal("invalid", /loadModel/)));
  });
});

describe("loading is refused, and a valid call works afterwards,", () => {
  afterEach(async () => {
    using model = await loadModel(join(golden, "gpt2"));
    expect(model.closed).toBe(false);
  });

  test.each<[string, unknown, object, string, RegExp]>([
    ["a source that is no text", 7, {}, "invalid", /"source"/],
    ["a directory that is not there", "/absent/model", {}, "missing", /No directory/],
    ["a directory without a model", directory, {}, "missing", /no config\.json/],
    ["a misspelt option", join(golden, "opt"), { dType: "float32" }, "unknown", /dType/],
    ["an unknown dtype", join(golden, "opt"), { dtype: "float8" }, "invalid", /"dtype"/],
    ["an unknown device", join(golden, "opt"), { device: "tpu" }, "invalid", /"device"/],
    ["a pad token without tokenizer", join(golden, "opt"), { padToken: "add" }, "missing", /needs a tokenizer/],
    ["an aborted signal", join(golden, "opt"), { signal: AbortSignal.abort() }, "aborted", /abort/],
    ["a classifier of one label as it stands", join(golden, "gpt-neox-choice"), {}, "unsupported", /1 label/],
  ])("for %s", async (_name, source, options, code, words) => {
    await expect(loadModel(source as string, options)).rejects.toMatchObject(refusal(code as never, words));
  });

  test("for weights that are NaN, by name", async () => {
    const path = copyOf("gpt2");
    const file = join(path, "model.safetensors");
    const bytes = readFileSync(file);
    bytes.writeFloatLE(NaN, bytes.length - 8);
    writeFileSync(file, bytes);
    await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", /NaN/));
  });

  test("for weights cut off", async () => {
    const path = copyOf("gpt2");
    const file = join(path, "model.safetensors");
    writeFileSync(file, readFileSync(file).subarray(0, -100));
    await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", /truncated/));
  });

  test("for config.json that is no JSON", async () => {
    const path = copyOf("gpt2");
    writeFileSync(join(path, "config.json"), "{");
    await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", /JSON/));
  });

  test("for a directory with no weights in it", async () => {
    const path = join(directory, "bare");
    mkdirSync(path);
    writeFileSync(join(path, "config.json"), JSON.stringify({ model_type: "gpt2" }));
    await expect(loadModel(path)).rejects.toMatchObject(refusal("missing", /no weights/));
  });

  test("for an index that leads out of the directory", async () => {
    const path = copyOf("format-safetensors-sharded");
    const index = join(path, "model.safetensors.index.json");
    const map = (JSON.parse(readFileSync(index, "utf8")) as { weight_map: Record<string, string> }).weight_map;
    writeFileSync(index, JSON.stringify({ weight_map: { ...map, [Object.keys(map)[0]]: "../../secret.safetensors" } }));
    await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", /beside the index/));
  });

  test("for tensors of sizes that config.json does not imply", async () => {
    const path = copyOf("gpt2");
    const config = join(path, "config.json");
    writeFileSync(config, JSON.stringify({ ...(JSON.parse(readFileSync(config, "utf8")) as object), vocab_size: 97 }));
    await expect(loadModel(path)).rejects.toMatchObject(refusal("mismatch", /\[97, 32\].*\[96, 32\]/));
  });

  test("for a file that is only a header", async () => {
    const path = copyOf("gpt2");
    writeFileSync(join(path, "model.safetensors"), safetensorsHeader([]));
    await expect(loadModel(path)).rejects.toMatchObject(refusal("missing", /h\.0\.attn\.c_proj\.weight/));
  });
});

describe("createModel", () => {
  const config = {
    model_type: "llama",
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    intermediate_size: 40,
    vocab_size: 96,
    max_position_embeddings: 24,
  };

  test("makes the same weights for the same seed", async () => {
    using first = await createModel(config, { seed: 3 });
    using second = await createModel(config, { seed: 3 });
    using third = await createModel(config, { seed: 4 });
    expect([first.hash === second.hash, first.hash === third.hash]).toEqual([true, false]);
  });

  test("makes a classifier of the given labels", async () => {
    using model = await createModel(config, { labels: ["x", "y"] });
    expect(model.labels).toEqual(["x", "y"]);
    expect(model.architecture.head).toEqual({ kind: "classification", labels: 2 });
  });

  test.each<[string, unknown, object, string, RegExp]>([
    ["no object", "llama", {}, "invalid", /"config"/],
    ["an unknown family", { model_type: "rwkv" }, {}, "unknown", /rwkv/],
    ["labels beside a head", config, { labels: ["a", "b"], head: { kind: "choice" } }, "invalid", /"labels"/],
    ["a tokenizer that is none", config, { tokenizer: {} }, "invalid", /"tokenizer"/],
    ["a seed that is none", config, { seed: -1 }, "invalid", /"seed"/],
    ["labels with a hole", config, { labels: Object.assign(["a"], { 2: "b" }) }, "invalid", /"labels".*without holes/],
    ["labels without end", config, { labels: new Array(2 ** 32 - 1) }, "invalid", /"labels"/],
    [
      "a model beyond the machine's memory, before it is drawn",
      { ...config, hidden_size: 32_768, num_attention_heads: 256, intermediate_size: 131_072 },
      {},
      "memory",
      /weights take .* GiB as float32, but this process can have/,
    ],
  ])("refuses %s", async (_name, given, options, code, words) => {
    await expect(createModel(given as object as Record<string, unknown>, options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });
});
