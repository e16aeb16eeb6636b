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
        rotarySize: 4,
        parallelResidual: true,
        queryKeyValue: "interleaved",
        activation: "gelu",
        tiedOutput: false,
      },
    ],
    ["gpt-neox-sequential", { rotarySize: 8, parallelResidual: false }],
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
        rotarySize: 8,
        rotaryBase: 10_000,
        queryKeyValueBias: false,
        tiedOutput: false,
      },
    ],
    ["llama-gqa", { keyValueHeads: 2, heads: 4, rotaryBase: 100_000, tiedOutput: true }],
    ["mistral", { keyValueHeads: 2, rotaryBase: 1_000_000, mlpBias: false }],
    ["qwen2", { queryKeyValueBias: true, attentionOutputBias: false, tiedOutput: true }],
    ["qwen3", { queryKeyNorm: true, headSize: 12, rotarySize: 12, queryKeyValueBias: false }],
    ["opt-classification", { head: { kind: "classification", labels: 3 } }],
  ])("of %s becomes its architecture", (name, fields) => {
    expect(architectureOf(configOf(name))).toMatchObject(fields);
  });

  test.each<[string, Partial<Architecture>]>([
    ["opt", { tiedOutput: true, dropout: { embedding: 0, attention: 0, residual: 0.1 }, normEpsilon: 1e-5 }],
    ["bloom", { positions: 2048, tiedOutput: true }],
    ["gpt_neox", { tiedOutput: false, parallelResidual: true, rotaryBase: 10_000, activation: "gelu" }],
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
    expect(architectureOf(changed("mistral", { sliding_window: 24 })).positions).toBe(24);
    expect(
      architectureOf(changed("qwen2", { sliding_window: 8, use_sliding_window: true, max_window_layers: 2 })).positions,
    ).toBe(24);
  });
});

describe("config.json is refused", () => {
  test("when its family is unknown, with the known ones", () => {
    expect(() => planModel({ model_type: "mamba" })).toThrow(
      expect.objectContaining(refusal("unknown", /"mamba".*opt, bloom, gpt_neox, gpt2, llama/)),
    );
    expect(() => planModel({ model_type: ["llama"] })).toThrow(expect.objectContaining(refusal("unknown", /llama/)));
    expect(() => planModel({ model_type: "__proto__" })).toThrow(
      expect.objectContaining(refusal("unknown", /__proto__/)),
    );
    expect(() => planModel({})).toThrow(expect.objectContaining(refusal("missing", /model_type/)));
  });

  test.each<[string, Json, RegExp]>([
    ["opt", { _remove_final_layer_norm: true }, /_remove_final_layer_norm/],
    ["opt", { enable_bias: false }, /enable_bias/],
    ["opt", { layer_norm_elementwise_affine: false }, /layer_norm_elementwise_affine/],
    ["opt", { layerdrop: 0.1 }, /layerdrop/],
    ["opt", { activation_function: "tanh" }, /"activation_function": "tanh"/],
    ["opt", { activation_function: "quick_gelu" }, /quick_gelu/],
    ["bloom", { apply_residual_connection_post_layernorm: true }, /apply_residual_connection_post_layernorm/],
    ["bloom", { n_inner: 40 }, /n_inner/],
    ["gpt_neox", { rope_scaling: { type: "linear", factor: 2 } }, /rope scaling "linear"/],
    ["gpt_neox", { rotary_pct: 0.4 }, /rotates 3 of 8/],
    ["gpt_neox", { rope_theta: 5_000 }, /rope_theta/],
    ["gpt2", { scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx/],
    ["gpt2", { reorder_and_upcast_attn: true }, /reorder_and_upcast_attn/],
    ["gpt2", { scale_attn_weights: false }, /scale_attn_weights/],
    ["gpt2", { add_cross_attention: true }, /add_cross_attention/],
    ["llama", { rope_scaling: { rope_type: "llama3", factor: 8 } }, /rope scaling "llama3"/],
    ["llama", { rope_parameters: { rope_type: "yarn", rope_theta: 10_000 } }, /rope scaling "yarn"/],
    ["llama", { rope_parameters: { full_attention: { rope_theta: 10_000 } } }, /full_attention/],
    ["llama", { partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    ["llama", { rope_parameters: { rope_theta: 10_000, partial_rotary_factor: 0.5 } }, /partial_rotary_factor/],
    ["llama", { quantization_config: { bits: 4 } }, /quantization_config/],
    ["llama", { auto_map: { AutoModel: "code.py" } }, /auto_map/],
    ["llama", { attn_logit_softcapping: 50 }, /attn_logit_softcapping/],
    ["llama", { head_dim: 7 }, /even/],
    ["mistral", { sliding_window: 16 }, /"sliding_window": 16, shorter than its 24 positions/],
    ["mistral", { max_position_embeddings: 8192 }, /"sliding_window": 4096/],
    ["qwen2", { use_sliding_window: true, sliding_window: 8, max_window_layers: 1 }, /"sliding_window": 8/],
    ["qwen2", { layer_types: ["full_attention", "linear_attention"] }, /linear_attention/],
    [
      "qwen3",
      { use_sliding_window: true, sliding_window: 8, layer_types: ["full_attention", "sliding_attention"] },
      /"sliding_window": 8/,
    ],
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
  ])("when %s has the wrong value %j", (family, change, words) => {
    expect(() => planModel(changed(family, change))).toThrow(expect.objectContaining(refusal("invalid", words)));
  });
});

describe("the head", () => {
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
    expect(resolveHead(config, request)).toEqual(head);
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
    expect(() => resolveHead(config, request as never)).toThrow(expect.objectContaining(refusal(code as never, words)));
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
      expect(resolveHead(config, undefined)).toEqual(head);
      expect(config["vocab_size"]).toBe(97);
    }
  });
});
