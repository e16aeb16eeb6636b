import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { planModel } from "../../lib/model/config/architecture";
import { families } from "../../lib/model/families";
import { describeHead, resolveHead } from "../../lib/model/config/head";
import type { Architecture } from "../../types/architecture";
import { refusal } from "../storage/refusal";

type Json = Record<string, unknown>;
const golden = join(__dirname, "..", "golden");
const configOf = (name: string, file = "config.json"): Json =>
  JSON.parse(readFileSync(join(golden, name, file), "utf8")) as Json;
const cases = readdirSync(golden).filter((name) => existsSync(join(golden, name, "config.json")));
const architectureOf = (config: Json) => planModel(config).architecture;

/** A config.json of each family with nothing but sizes, and with a change. */
const small = {
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 96,
  max_position_embeddings: 24,
};
const base: Readonly<Record<string, Json>> = {
  opt: { ...small, model_type: "opt", ffn_dim: 40 },
  bloom: { model_type: "bloom", hidden_size: 32, n_layer: 2, n_head: 4, vocab_size: 96 },
  gpt_neox: { ...small, model_type: "gpt_neox", intermediate_size: 40, rotary_pct: 0.5 },
  gpt2: { model_type: "gpt2", n_embd: 32, n_layer: 2, n_head: 4, vocab_size: 96, n_positions: 24 },
  llama: { ...small, model_type: "llama", intermediate_size: 40 },
  mistral: { ...small, model_type: "mistral", intermediate_size: 40, num_key_value_heads: 2 },
  qwen2: { ...small, model_type: "qwen2", intermediate_size: 40, num_key_value_heads: 2 },
  qwen3: { ...small, model_type: "qwen3", intermediate_size: 40, num_key_value_heads: 2 },
  falcon: { ...small, model_type: "falcon" },
  cohere: { ...small, model_type: "cohere", intermediate_size: 40 },
  stablelm: { ...small, model_type: "stablelm", intermediate_size: 40, num_key_value_heads: 4 },
  smollm3: { ...small, model_type: "smollm3", intermediate_size: 40 },
  gptj: { ...small, model_type: "gptj", hidden_size: undefined, n_embd: 32, n_layer: 2, n_head: 4 },
};
const changed = (family: string, change: Json): Json => ({ ...base[family], ...change });

describe("what config.json says", () => {
  test.each(cases.filter((name) => name !== "gpt-neox-choice"))(
    "of %s is read as the same architecture in both spellings of transformers",
    (name) => {
      const architecture = architectureOf(configOf(name));
      expect(architecture.hidden % architecture.heads).toBe(0);
      if (existsSync(join(golden, name, "config.legacy.json"))) {
        expect(architectureOf(configOf(name, "config.legacy.json"))).toEqual(architecture);
      }
    },
  );

  test.each<[string, Partial<Architecture>]>([
    [
      "opt",
      {
        position: "learned",
        positionOffset: 2,
        normOrder: "pre",
        finalNorm: true,
        activation: "relu",
        tiedOutput: true,
        mlpBias: true,
      },
    ],
    ["opt-post-norm-projected", { normOrder: "post", finalNorm: false, embeddingSize: 20, hidden: 32 }],
    [
      "bloom",
      {
        position: "alibi",
        embeddingNorm: true,
        queryKeyValue: "interleaved",
        activation: "gelu-tanh",
        intermediate: 96,
      },
    ],
    [
      "gpt-neox",
      {
        position: "rotary",
        rotary: [expect.objectContaining({ size: 4 })],
        parallelResidual: true,
        queryKeyValue: "interleaved",
        activation: "gelu",
        tiedOutput: false,
      },
    ],
    ["gpt-neox-sequential", { rotary: [expect.objectContaining({ size: 8 })], parallelResidual: false }],
    [
      "gpt2",
      {
        position: "learned",
        positionOffset: 0,
        queryKeyValue: "concatenated",
        transposedLinears: true,
        intermediate: 40,
        activation: "gelu-tanh",
      },
    ],
    [
      "llama",
      {
        norm: "rms",
        normEpsilon: 1e-5,
        gated: true,
        activation: "silu",
        rotary: [expect.objectContaining({ size: 8, base: 10_000 })],
        queryKeyValueBias: false,
        tiedOutput: false,
      },
    ],
    [
      "llama-gqa",
      { keyValueHeads: 2, heads: 4, rotary: [expect.objectContaining({ base: 100_000 })], tiedOutput: true },
    ],
    ["mistral", { keyValueHeads: 2, rotary: [expect.objectContaining({ base: 1_000_000 })], mlpBias: false }],
    ["qwen2", { queryKeyValueBias: true, attentionOutputBias: false, tiedOutput: true }],
    [
      "qwen3",
      { queryKeyNorm: "head", headSize: 12, rotary: [expect.objectContaining({ size: 12 })], queryKeyValueBias: false },
    ],
    ["opt-classification", { head: { kind: "classification", labels: 3 } }],
  ])("of %s becomes its architecture", (name, fields) => {
    expect(architectureOf(configOf(name))).toMatchObject(fields);
  });

  test.each<[string, Partial<Architecture>]>([
    ["opt", { tiedOutput: true, dropout: { embedding: 0, attention: 0, residual: 0.1 }, normEpsilon: 1e-5 }],
    ["bloom", { positions: 1 << 20, tiedOutput: true }],
    [
      "gpt_neox",
      {
        tiedOutput: false,
        parallelResidual: true,
        rotary: [expect.objectContaining({ base: 10_000 })],
        activation: "gelu",
      },
    ],
    ["gpt2", { intermediate: 128, tiedOutput: true, dropout: { embedding: 0.1, attention: 0.1, residual: 0.1 } }],
    ["llama", { keyValueHeads: 4, headSize: 8, normEpsilon: 1e-6, tiedOutput: false }],
    ["qwen3", { headSize: 128 }],
  ])("of %s takes transformers' defaults where it is silent", (family, fields) => {
    expect(architectureOf(base[family])).toMatchObject(fields);
  });

  test("may use either of two names, but not both with two values", () => {
    expect(architectureOf({ ...base["gpt2"], n_embd: undefined, hidden_size: 64 }).hidden).toBe(64);
    expect(() => architectureOf(changed("gpt2", { hidden_size: 64 }))).toThrow(/"n_embd": 32 and "hidden_size": 64/);
  });

  test("may have biases in Llama, heads wider than the hidden size, and a window that no input reaches", () => {
    expect(architectureOf(changed("llama", { attention_bias: true, mlp_bias: true }))).toMatchObject({
      queryKeyValueBias: true,
      attentionOutputBias: true,
      mlpBias: true,
    });
    expect(architectureOf(changed("llama", { head_dim: 16 })).headSize).toBe(16);
    const windows = (family: string, change: Json) =>
      architectureOf(changed(family, change)).attention.map(({ window }) => window);
    expect(windows("mistral", { sliding_window: 24 })).toEqual([0, 0]);
    expect(windows("mistral", { sliding_window: 8 })).toEqual([8, 8]);
    expect(windows("mistral", { max_position_embeddings: 8192 })).toEqual([4096, 4096]);
    const window = { sliding_window: 8, use_sliding_window: true };
    expect(windows("qwen2", { ...window, max_window_layers: 2 })).toEqual([0, 0]);
    expect(windows("qwen2", { ...window, max_window_layers: 1 })).toEqual([0, 8]);
    expect(windows("qwen3", { ...window, layer_types: ["sliding_attention", "full_attention"] })).toEqual([8, 0]);
  });

  test("may scale rotary embeddings, in both spellings of transformers", () => {
    const scaling = { rope_type: "linear", factor: 4 };
    const [old] = architectureOf(changed("llama", { rope_theta: 500, rope_scaling: scaling })).rotary;
    const [modern] = architectureOf(changed("llama", { rope_parameters: { ...scaling, rope_theta: 500 } })).rotary;
    expect(old).toEqual({ ...modern, base: 500, factors: [0.25, 0.25, 0.25, 0.25] });
    const dynamic = architectureOf(changed("llama", { rope_scaling: { type: "dynamic", factor: 2 } }));
    expect([dynamic.positions, dynamic.rotary[0].longest, dynamic.rotary[0].growth]).toEqual([48, 24, 2]);
  });
});

describe("config.json is refused", () => {
  test("when its family is unknown, with the known ones", () => {
    expect(() => planModel({ model_type: "mamba" })).toThrow(
      expect.objectContaining(refusal("unknown", /"mamba".*bloom, cohere.*llama.*opt/)),
    );
    expect(() => planModel({ model_type: ["llama"] })).toThrow(expect.objectContaining(refusal("unknown", /llama/)));
    expect(() => planModel({ model_type: "__proto__" })).toThrow(
      expect.objectContaining(refusal("unknown", /__proto__/)),
    );
    expect(() => planModel({})).toThrow(expect.objectContaining(refusal("missing", /model_type/)));
  });

  test.each<[string, Json, RegExp]>([
    ["opt", { _remove_final_layer_norm: true }, /_remove_final_layer_norm/],
    ["opt", { layer_norm_elementwise_affine: false }, /layer_norm_elementwise_affine/],
    ["opt", { layerdrop: 0.1 }, /layerdrop/],
    ["opt", { activation_function: "tanh" }, /"activation_function": "tanh"/],
    ["opt", { activation_function: "xielu" }, /xielu/],
    ["bloom", { apply_residual_connection_post_layernorm: true }, /apply_residual_connection_post_layernorm/],
    ["bloom", { n_inner: 40 }, /n_inner/],
    ["gpt_neox", { rope_scaling: { type: "proportional", factor: 2 } }, /rope scaling "proportional"/],
    ["gpt_neox", { rotary_pct: 0.4 }, /3 of the 8 features/],
    ["gpt_neox", { rope_theta: 5_000 }, /rope_theta/],
    ["gpt2", { add_cross_attention: true }, /add_cross_attention/],
    [
      "llama",
      { rope_scaling: { type: "linear", factor: 2, high_freq_factor: 4 } },
      /"high_freq_factor" in "rope_scaling"/,
    ],
    ["llama", { rope_parameters: { full_attention: { rope_theta: 10_000 } } }, /full_attention/],
    ["llama", { partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    ["llama", { rope_parameters: { rope_theta: 10_000, partial_rotary_factor: 0.5 } }, /partial_rotary_factor/],
    ["llama", { quantization_config: { bits: 4 } }, /quantised by \{.*bits.*quantization_config/],
    ["llama", { quantization_config: { quant_method: "bitsandbytes" } }, /quantised by "bitsandbytes".*a GGUF file/],
    ["llama", { quantization_config: { quant_method: "gptq", bits: 4 } }, /quantised by "gptq"/],
    ["llama", { compression_config: { quant_method: "compressed-tensors" } }, /"compressed-tensors"/],
    ["llama", { auto_map: { AutoModel: "code.py" } }, /auto_map/],
    ["llama", { attn_logit_softcapping: 50 }, /attn_logit_softcapping/],
    ["llama", { head_dim: 7 }, /even/],
    ["qwen2", { layer_types: ["full_attention", "linear_attention"] }, /linear_attention/],
    ["qwen2", { layer_types: ["full_attention", "sliding_attention"] }, /no window/],
    ["qwen2", { layer_types: ["full_attention"] }, /"layer_types" of 1 layers, but has 2/],
    ["llama", { kv_lora_rank: 8 }, /kv_lora_rank/],
    ["llama", { vision_config: {} }, /vision_config/],
    ["llama", { num_local_experts: 4 }, /num_local_experts/],
    ["falcon", { alibi: true }, /alibi/],
    ["cohere", { use_qk_norm: true }, /use_qk_norm/],
    ["stablelm", { qk_layernorm: true }, /qk_layernorm/],
  ])("when %s has the unsupported setting %j", (family, change, words) => {
    expect(() => planModel(changed(family, change))).toThrow(expect.objectContaining(refusal("unsupported", words)));
  });

  test.each<[string, Json, RegExp]>([
    ["llama", { hidden_size: "32" }, /"hidden_size" in config.json to be a whole number/],
    ["llama", { hidden_size: 0 }, /hidden_size/],
    ["llama", { hidden_size: 1e30 }, /hidden_size/],
    ["llama", { num_hidden_layers: 100_000 }, /within 1–4096/],
    ["llama", { hidden_size: 30 }, /multiple of its 4 heads/],
    ["llama", { num_key_value_heads: 3 }, /key-value heads/],
    ["llama", { rms_norm_eps: "1e-6" }, /rms_norm_eps/],
    ["llama", { tie_word_embeddings: "yes" }, /tie_word_embeddings/],
    ["llama", { rope_parameters: "default" }, /rope_parameters/],
    ["opt", { dropout: 1 }, /dropout/],
    ["mistral", { sliding_window: 0 }, /sliding_window/],
    ["gpt2", { reorder_and_upcast_attn: 1 }, /reorder_and_upcast_attn/],
    ["llama", { rope_scaling: { type: "yarn", factor: 0.5 } }, /"factor"/],
    ["llama", { rope_scaling: { rope_type: "llama3", factor: 8 } }, /"low_freq_factor"/],
    ["llama", { rope_scaling: { type: "longrope", short_factor: [1], long_factor: [1] } }, /"short_factor".*4 numbers/],
    ["smollm3", { no_rope_layers: [1] }, /"no_rope_layers".*2 zeros and ones/],
    ["gptj", { rotary_dim: 3 }, /rotary_dim/],
  ])("when %s has the wrong value %j", (family, change, words) => {
    expect(() => planModel(changed(family, change))).toThrow(expect.objectContaining(refusal("invalid", words)));
  });
});

describe("the head", () => {
  const opt = families.get("opt")!;
  const classifier = { architectures: ["OPTForSequenceClassification"], id2label: { 0: "no", 1: "yes", 2: "unknown" } };

  test.each<[string, Json, Parameters<typeof resolveHead>[1], ReturnType<typeof resolveHead>]>([
    ["of a language model", { architectures: ["OPTForCausalLM"] }, undefined, { kind: "causalLM", labels: [] }],
    ["of a bare base model", {}, undefined, { kind: "causalLM", labels: [] }],
    [
      "of a classifier has its names",
      classifier,
      undefined,
      { kind: "classification", labels: ["no", "yes", "unknown"] },
    ],
    [
      "of a classifier without names has transformers' two",
      { architectures: classifier.architectures },
      undefined,
      { kind: "classification", labels: ["LABEL_0", "LABEL_1"] },
    ],
    [
      "is a choice where saveModel said so",
      { architectures: classifier.architectures, num_labels: 1, attribution_head: "choice" },
      undefined,
      { kind: "choice", labels: [] },
    ],
    [
      "may be asked for",
      {},
      { kind: "classification", labels: ["a", "b"] },
      { kind: "classification", labels: ["a", "b"] },
    ],
    [
      "may rename numbered labels",
      { id2label: { 0: "LABEL_0", 1: "LABEL_1" } },
      { kind: "classification", labels: ["a", "b"] },
      { kind: "classification", labels: ["a", "b"] },
    ],
    ["may be a choice", classifier, { kind: "choice" }, { kind: "choice", labels: [] }],
  ])("%s", (_name, config, request, head) => {
    expect(resolveHead(config, request, opt)).toEqual(head);
  });

  test.each<[string, Json, unknown, string, RegExp]>([
    [
      "labels in another order",
      classifier,
      { kind: "classification", labels: ["yes", "no", "unknown"] },
      "mismatch",
      /order no, yes, unknown/,
    ],
    ["labels that repeat", {}, { kind: "classification", labels: ["a", "a"] }, "invalid", /different names/],
    ["one label", {}, { kind: "classification", labels: ["a"] }, "invalid", /at least two/],
    ["no labels at all", {}, { kind: "classification" }, "invalid", /names no labels/],
    ["another kind", {}, { kind: "regression" }, "invalid", /"kind"/],
    ["a stored regression", { ...classifier, problem_type: "regression" }, undefined, "unsupported", /problem_type/],
    ["one stored label", { ...classifier, id2label: { 0: "LABEL_0" } }, undefined, "unsupported", /1 label/],
    [
      "stored labels that skip a number",
      { ...classifier, id2label: { 0: "a", 2: "b" } },
      undefined,
      "invalid",
      /id2label/,
    ],
    ["an unknown stored head", { attribution_head: "span" }, undefined, "unsupported", /attribution_head/],
  ])("refuses %s", (_name, config, request, code, words) => {
    expect(() => resolveHead(config, request as never, opt)).toThrow(
      expect.objectContaining(refusal(code as never, words)),
    );
  });

  test("is stated in config.json so that it is read back", () => {
    const family = families.get("opt");
    if (family === undefined) throw new Error("no opt");
    for (const head of [
      { kind: "classification", labels: ["b", "a"] },
      { kind: "choice", labels: [] },
      { kind: "causalLM", labels: [] },
    ] as const) {
      const config = describeHead({ ...base["opt"], ...classifier, problem_type: "regression" }, family, head, 97);
      expect(resolveHead(config, undefined, family)).toEqual(head);
      expect(config["vocab_size"]).toBe(97);
    }
  });
});
