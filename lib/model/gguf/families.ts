// The table of GGUF architectures that are read: whose family each is, and which settings change nothing. A key of the
// architecture that is neither read nor neutral is refused by name: it may change the model.
import { AttributionError, shown } from "../../errors";
import type { Family } from "../families/family";
import { llama } from "../families/llama";
import { olmo2 } from "../families/olmo2";
import { phi3 } from "../families/phi3";
import { qwen2 } from "../families/qwen2";
import { qwen3 } from "../families/qwen3";
import type { GgufKeys } from "./keys";

export interface GgufFamily {
  readonly family: Family;
  /** Rows of queries and keys are stored interleaved, two halves of a head turn by turn. */
  readonly permutes: boolean;
  /** config.json says whether attention has biases; for others the family knows. */
  readonly statesBiases: boolean;
  /** config.json says how many keys a query sees; for others a window that an input can reach is refused. */
  readonly statesWindow?: boolean;
}

const architectures: ReadonlyMap<string, GgufFamily> = new Map([
  ["llama", { family: llama, permutes: true, statesBiases: true }],
  ["qwen2", { family: qwen2, permutes: false, statesBiases: false }],
  ["qwen3", { family: qwen3, permutes: false, statesBiases: true }],
  ["olmo2", { family: olmo2, permutes: false, statesBiases: true }],
  ["phi3", { family: phi3, permutes: false, statesBiases: false, statesWindow: true }],
]);

/** The family that `general.architecture` names; "unknown" with the list of those there are. */
export function ggufFamilyOf(keys: GgufKeys): GgufFamily & { readonly architecture: string } {
  const architecture = keys.text("general.architecture");
  const found = architectures.get(architecture);
  if (found !== undefined) return { ...found, architecture };
  throw new AttributionError(
    "unknown",
    `Unknown general.architecture ${shown(architecture)} in ${keys.path}. Known: ${[...architectures.keys()].join(", ")}`,
  );
}

/** The family with GGUF's names of its weights in place of Hugging Face's. */
export function withGgufNames(family: Family): Family {
  return { ...family, prefixes: [""], modules: names, output: ["output"], ignored: [] };
}

const names: Family["modules"] = {
  "embedding.token": "token_embd",
  "layers.{i}.attentionNorm": "blk.{i}.attn_norm",
  "layers.{i}.mlpNorm": "blk.{i}.ffn_norm",
  "layers.{i}.attention.query": "blk.{i}.attn_q",
  "layers.{i}.attention.key": "blk.{i}.attn_k",
  "layers.{i}.attention.value": "blk.{i}.attn_v",
  "layers.{i}.attention.qkv": "blk.{i}.attn_qkv",
  "layers.{i}.attention.output": "blk.{i}.attn_output",
  "layers.{i}.attentionOutputNorm": "blk.{i}.post_attention_norm",
  "layers.{i}.attention.queryNorm": "blk.{i}.attn_q_norm",
  "layers.{i}.attention.keyNorm": "blk.{i}.attn_k_norm",
  "layers.{i}.mlp.up": "blk.{i}.ffn_up",
  "layers.{i}.mlp.gateUp": "blk.{i}.ffn_up",
  "layers.{i}.mlpOutputNorm": "blk.{i}.post_ffw_norm",
  "layers.{i}.mlp.gate": "blk.{i}.ffn_gate",
  "layers.{i}.mlp.down": "blk.{i}.ffn_down",
  finalNorm: "output_norm",
};

/** Keys behind `llama.` (`qwen2.` …) that config.ts reads, or that say nothing about the arithmetic. */
const read: ReadonlySet<string> = new Set([
  "block_count",
  "context_length",
  "embedding_length",
  "feed_forward_length",
  "vocab_size",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.key_length",
  "attention.value_length",
  "attention.layer_norm_rms_epsilon",
  "attention.sliding_window",
  "rope.freq_base",
  "rope.dimension_count",
  "rope.scaling.original_context_length",
  "tensor_data_layout",
]);

const neutral: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ["rope.scaling.type", ["none"]],
  ["rope.scaling.factor", [1]],
  ["rope.scaling.finetuned", [false]],
  ["rope.scale_linear", [1]],
  ["expert_count", [0]],
  ["expert_used_count", [0]],
  ["attention.causal", [true]],
  ["use_parallel_residual", [false]],
  ["attention.max_alibi_bias", [0]],
  ["attention.clamp_kqv", [0]],
  ["logit_scale", [1]],
]);

/** "unsupported" for settings that this library cannot honour: rope scaling, experts, adapters, parts of a file … */
export function refuseForeignKeys(keys: GgufKeys, architecture: string): void {
  const refuse = (key: string): never => {
    throw new AttributionError(
      "unsupported",
      `${keys.path} has "${key}": ${shown(keys.value(key))}. This library does not support it`,
    );
  };
  if (keys.text("general.type", "model") !== "model") refuse("general.type");
  if ((keys.value("general.quantization_version") ?? 2) !== 2) refuse("general.quantization_version");
  for (const key of keys.names.filter((name) => name.startsWith(`${architecture}.`))) {
    const name = key.slice(architecture.length + 1);
    if (!read.has(name) && neutral.get(name)?.includes(keys.value(key)) !== true) refuse(key);
  }
}
