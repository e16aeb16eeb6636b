// The config.json that describes a GGUF file's model in Hugging Face's words: what the library reads further, keeps as the
// model's provenance, and writes back when the model is saved.
import { AttributionError } from "../../errors";
import type { GgufContents } from "../../storage/gguf";
import type { Config } from "../config/config-reader";
import { ggufFamilyOf, refuseForeignKeys } from "./families";
import type { GgufKeys } from "./keys";

const most = 1 << 24;
const mostLayers = 4096;

/** "unsupported" and "unknown" as for a directory; a size that contradicts the tensors is refused when they are mapped. */
export function ggufConfig(keys: GgufKeys, { tensors }: GgufContents): Config {
  const { architecture, family, statesBiases, statesWindow = false } = ggufFamilyOf(keys);
  refuseForeignKeys(keys, architecture);
  const stored = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const name of ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"])
    if (stored.has(name)) throw unsupported(keys, `"${name}", a scaling of its rotary embeddings`);
  const count = (name: string, fallback?: number, largest = most) =>
    keys.count(`${architecture}.${name}`, largest, fallback);
  const hidden = count("embedding_length");
  const heads = count("attention.head_count");
  const rows = stored.get("token_embd.weight")?.shape[0];
  const positions = count("context_length");
  const window = windowOf(keys, architecture, positions);
  if (window !== undefined && !statesWindow)
    throw unsupported(
      keys,
      `"${architecture}.attention.sliding_window": ${window}, shorter than its ${positions} positions`,
    );
  const trained = count("rope.scaling.original_context_length", positions);
  if (trained !== positions)
    throw unsupported(
      keys,
      `"${architecture}.rope.scaling.original_context_length": ${trained} of ${positions} positions`,
    );
  return {
    architectures: [family.causalLM],
    model_type: family.modelType,
    vocab_size: count("vocab_size", rows),
    hidden_size: hidden,
    intermediate_size: count("feed_forward_length"),
    num_hidden_layers: count("block_count", undefined, mostLayers),
    num_attention_heads: heads,
    num_key_value_heads: count("attention.head_count_kv", heads),
    head_dim: headSize(keys, architecture, hidden, heads),
    hidden_act: "silu",
    max_position_embeddings: positions,
    rms_norm_eps: keys.real(`${architecture}.attention.layer_norm_rms_epsilon`),
    // At the top level both transformers 4 and 5 read it.
    rope_theta: keys.real(`${architecture}.rope.freq_base`, 10_000),
    ...(statesBiases ? { attention_bias: stored.has("blk.0.attn_q.bias") } : {}),
    ...(statesWindow ? { sliding_window: window ?? null } : {}),
    ...(stored.has("blk.0.ffn_up.bias") ? { mlp_bias: true } : {}),
    tie_word_embeddings: !stored.has("output.weight"),
    use_cache: true,
    ...tokenIds(keys, count("vocab_size", rows)),
  };
}

function headSize(keys: GgufKeys, architecture: string, hidden: number, heads: number): number {
  const given = keys.value(`${architecture}.attention.key_length`) !== undefined;
  if (!given && hidden % heads !== 0)
    throw unsupported(keys, `${heads} heads, which do not divide "${architecture}.embedding_length": ${hidden}`);
  const size = given ? keys.count(`${architecture}.attention.key_length`, most) : hidden / heads;
  for (const name of ["attention.value_length", "rope.dimension_count"]) {
    const other = keys.count(`${architecture}.${name}`, most, size);
    if (other !== size) throw unsupported(keys, `"${architecture}.${name}": ${other} with heads of ${size} features`);
  }
  return size;
}

/** One that no input can reach changes nothing, and is none. */
function windowOf(keys: GgufKeys, architecture: string, positions: number): number | undefined {
  const key = `${architecture}.attention.sliding_window`;
  if (keys.value(key) === 0) return undefined;
  const window = keys.count(key, Number.MAX_SAFE_INTEGER, positions);
  return window < positions ? window : undefined;
}

/** By role, as config.json has them. */
export const tokenRoles = { bos: "bos", eos: "eos", pad: "padding", unk: "unknown" } as const;

/** Those within the vocabulary. */
function tokenIds(keys: GgufKeys, vocabulary: number): Config {
  const { unk: _unk, ...roles } = tokenRoles; // config.json has no place for it
  const given = Object.entries(roles).map(
    ([role, name]) => [`${role}_token_id`, keys.value(`tokenizer.ggml.${name}_token_id`)] as const,
  );
  return Object.fromEntries(given.filter(([, id]) => typeof id === "number" && id >= 0 && id < vocabulary));
}

function unsupported(keys: GgufKeys, words: string): AttributionError {
  return new AttributionError("unsupported", `${keys.path} has ${words}. This library does not support it`);
}
