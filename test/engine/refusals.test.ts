// What bad input gets: an error by code that names the trouble, and a valid call afterwards. Files: test/storage; options of a method: its own test.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { loadModel } from "../../lib/model/load-model";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { golden } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";

const directory = scratch();
const opt = join(golden, "opt-classification");
const good = raggedInstances("classification", 3);
let model: Model;
beforeAll(async () => {
  model = await open("opt-classification");
});
afterAll(() => model.close());
afterEach(async () => expect((await evaluate(model, good)).losses.every(Number.isFinite)).toBe(true));

/** A copy of the OPT classifier with one weight changed. */
async function copyWith(name: string, weight: string, change: (values: Float32Array) => void): Promise<string> {
  const path = join(directory, name);
  mkdirSync(path);
  cpSync(join(opt, "config.json"), join(path, "config.json"));
  const { tensors } = await readTensors(join(opt, "model.safetensors"));
  change(tensors[weight].data as Float32Array);
  await writeSafetensors(join(path, "model.safetensors"), tensors);
  return path;
}

describe("weights that are not numbers are refused by name", () => {
  test.each([
    ["NaN", NaN],
    ["infinity", Infinity],
    ["minus infinity", -Infinity],
  ])("%s, in the last place of a large weight or in a bias", async (name, value) => {
    for (const weight of ["model.decoder.embed_tokens.weight", "model.decoder.layers.1.fc2.bias"]) {
      const path = await copyWith(`${name}-${weight}`, weight, (values) => {
        values[values.length - 1] = value;
      });
      await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", new RegExp(weight.replace(/\./g, "\\."))));
      await expect(loadModel(path, { dtype: "bfloat16" })).rejects.toMatchObject(refusal("corrupt", /finite|NaN/i));
    }
  });

  test("also where they only become infinite in the type computed in", async () => {
    const path = await copyWith("large", "score.weight", (values) => {
      values[0] = 3e38;
    });
    const { tensors } = await readTensors(join(path, "model.safetensors"));
    using finite = await loadModel(path);
    expect(finite.parameters).toBe(model.parameters);
    const wide = {
      ...tensors,
      "score.weight": {
        ...tensors["score.weight"],
        data: Float64Array.from(tensors["score.weight"].data, (value) => value * 10),
      },
    };
    await writeSafetensors(join(path, "model.safetensors"), wide);
    await expect(loadModel(path)).rejects.toMatchObject(refusal("corrupt", /score\.weight/));
    using double = await loadModel(path, { dtype: "float64" });
    expect(double.dtype).toBe("float64");
  });
});

describe("instances that do not fit the model", () => {
  const rows = (given: readonly number[][], labels?: readonly number[]) =>
    createInstances({ kind: "classification", rows: given, labels });

  test.each<[string, () => Instances, string, RegExp]>([
    ["a token id beyond the vocabulary", () => rows([[5], [4, 96]]), "invalid", /token id 96.*vocabulary 0–95/],
    [
      "a row longer than the positions",
      () => rows([new Array<number>(200).fill(5)]),
      "invalid",
      /200 tokens.*positions/,
    ],
    ["a label that the head has not", () => rows([[5, 6]], [3]), "mismatch", /label 3.*3 classes/],
    [
      "instances for another head",
      () => createInstances({ kind: "causalLM", rows: [[5, 6]] }),
      "mismatch",
      /classification.*causalLM/,
    ],
    [
      "instances of a choice",
      () => createInstances({ kind: "choice", rows: [[5], [6]], groups: [2] }),
      "mismatch",
      /choice/,
    ],
  ])("%s", async (_name, make, code, words) => {
    await expect(evaluate(model, make(), {})).rejects.toMatchObject(refusal(code as never, words));
  });

  test("are refused when made, where nothing but themselves is at fault", () => {
    expect(() => rows([])).toThrow(expect.objectContaining(refusal("invalid", /row/)));
    expect(() => rows([[5], []])).toThrow(expect.objectContaining(refusal("invalid", /row|empty/)));
    expect(() => rows([[5, -1]])).toThrow(expect.objectContaining(refusal("invalid", /./)));
    expect(() => rows([[5.5]])).toThrow(expect.objectContaining(refusal("invalid", /./)));
    expect(() => rows([[5]], [1, 2])).toThrow(expect.objectContaining(refusal("invalid", /labels/)));
  });

  // Instances are plain objects: what was made or changed by hand reaches the native core as it is.
  test.each<[string, object]>([
    ["an empty row", { rowOffsets: Int32Array.of(0, 0, 8, 20) }],
    ["row offsets beyond the tokens", { rowOffsets: Int32Array.of(0, 7, 8, 2_000_000_000) }],
    ["falling row offsets", { rowOffsets: Int32Array.of(0, 12, 8, 20) }],
    ["row offsets that begin late", { rowOffsets: Int32Array.of(1, 7, 8, 20) }],
    ["negative offsets", { rowOffsets: Int32Array.of(-4, 7, 8, 20) }],
    ["no offsets", { rowOffsets: new Int32Array(0) }],
    ["groups beyond the rows", { groupOffsets: Int32Array.of(0, 1, 2, 9) }],
    ["an empty group", { groupOffsets: Int32Array.of(0, 1, 1, 3) }],
    ["too few labels", { labels: Int32Array.of(0) }],
    ["a label below −1", { labels: Int32Array.of(0, -7, 1) }],
    ["a negative token", { tokens: new Int32Array(20).fill(-1) }],
    ["a huge token", { tokens: new Int32Array(20).fill(2_147_483_647) }],
    ["no tokens", { tokens: new Int32Array(0) }],
    ["targets of another length", { targets: Int32Array.of(1) }],
    ["arrays of another type", { tokens: new Float32Array(20) }],
    ["no array at all", { labels: [0, 1, 2] }],
    ["a missing field", { groupOffsets: undefined }],
  ])("by hand: %s", async (_name, change) => {
    expect(good.tokens).toHaveLength(20);
    await expect(evaluate(model, { ...good, ...change })).rejects.toMatchObject({
      name: "AttributionError",
      code: expect.stringMatching(/^(invalid|mismatch)$/),
    });
  });

  test("whose memory was given away", async () => {
    const tokens = Int32Array.from(good.tokens);
    structuredClone(tokens.buffer, { transfer: [tokens.buffer] });
    await expect(evaluate(model, { ...good, tokens })).rejects.toMatchObject(refusal("invalid", /rowOffsets/));
  });

  test.each([undefined, null, 3, "instances", [], {}])("or are none: %p", async (value) => {
    await expect(evaluate(model, value as never)).rejects.toMatchObject(refusal("invalid", /instances/i));
  });
});

describe("what is no model", () => {
  test.each([undefined, null, {}, "opt"])("%p", async (value) => {
    await expect(evaluate(value as never, good)).rejects.toMatchObject(refusal("invalid", /"model"/));
  });
});

describe("options", () => {
  test.each<[string, unknown, string, RegExp]>([
    ["a misspelt name", { batchToken: 5 }, "unknown", /"batchToken".*batchTokens/s],
    ["no object", 5, "invalid", /"options"/],
    ["a list", [], "invalid", /"options"/],
    ["a batch of nothing", { batchTokens: 0 }, "invalid", /"batchTokens"/],
    ["a batch of half a token", { batchTokens: 1.5 }, "invalid", /"batchTokens"/],
    ["logits that are no boolean", { logits: 1 }, "invalid", /"logits"/],
    ["a signal that is none", { signal: {} }, "invalid", /"signal"/],
    ["a listener that is none", { onProgress: 3 }, "invalid", /"onProgress"/],
  ])("%s", async (_name, options, code, words) => {
    await expect(evaluate(model, good, options as never)).rejects.toMatchObject(refusal(code as never, words));
  });
});

describe("loading and creating", () => {
  test.each<[string, object, string, RegExp]>([
    ["cuda without a libtorch that has it", { device: "cuda" }, "unsupported", /CUDA|cuda/],
    ["another device", { device: "tpu" }, "invalid", /"device"/],
    ["another type", { dtype: "float16" }, "invalid", /"dtype"/],
    ["a misspelt option", { dType: "float32" }, "unknown", /"dType"/],
    ["a negative seed", { seed: -1 }, "invalid", /"seed"/],
  ])("refuses %s", async (_name, options, code, words) => {
    await expect(loadModel(opt, options)).rejects.toMatchObject(refusal(code as never, words));
  });

  test("refuses labels beside a head, and settings that contradict each other", async () => {
    const config = JSON.parse(readFileSync(join(opt, "config.json"), "utf8")) as Record<string, unknown>;
    await expect(createModel(config, { labels: ["a", "b"], head: { kind: "choice" } })).rejects.toMatchObject(
      refusal("invalid", /"labels"/),
    );
    await expect(
      createModel({ ...config, hidden_size: 30, word_embed_proj_dim: 30, num_attention_heads: 4 }),
    ).rejects.toMatchObject(refusal("invalid", /multiple of its 4 heads/));
    await expect(createModel({ ...config, model_type: "unheard" })).rejects.toMatchObject(
      refusal("unknown", /unheard/),
    );
    await expect(createModel(config, { device: "cuda" })).rejects.toMatchObject(refusal("unsupported", /CUDA|cuda/));
  });

  test("refuses a model that no machine holds, and lives", async () => {
    const config = {
      model_type: "gpt2",
      vocab_size: 16_000_000,
      n_embd: 16_000_000,
      n_layer: 1,
      n_head: 1,
      n_positions: 8,
    };
    await expect(createModel(config)).rejects.toMatchObject({
      name: "AttributionError",
      code: expect.stringMatching(/^(memory|invalid)$/),
    });
  });

  test("refuses a directory that holds no model, and one that is none", async () => {
    const empty = join(directory, "empty");
    mkdirSync(empty);
    await expect(loadModel(empty)).rejects.toMatchObject(refusal("missing", /config\.json/));
    writeFileSync(join(empty, "config.json"), "{");
    await expect(loadModel(empty)).rejects.toMatchObject(refusal("corrupt", /config\.json/));
    await expect(loadModel(join(directory, "nowhere"))).rejects.toMatchObject({ code: "missing" });
  });
});
