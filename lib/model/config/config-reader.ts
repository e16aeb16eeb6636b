// Reads config.json by Hugging Face's names and defaults. A value that is there is read, neutral or refused; a model that
// another setting would change is never loaded without it.
import { AttributionError, shown } from "../../errors";
import type { Architecture } from "../../../types/architecture";

export type Config = Readonly<Record<string, unknown>>;

/** The value of the first of the names that has one; JSON's null is no value. */
export function setting(config: Config, ...names: string[]): unknown {
  const present = names.filter((name) => config[name] !== undefined && config[name] !== null);
  const [first, ...others] = present;
  const other = others.find((name) => JSON.stringify(config[name]) !== JSON.stringify(config[first]));
  if (other !== undefined)
    throw unsupported(
      `both "${first}": ${shown(config[first])} and "${other}": ${shown(config[other])}, which mean the same`,
    );
  return first === undefined ? undefined : config[first];
}

export function wrong(names: readonly string[], what: string, value: unknown): AttributionError {
  return new AttributionError(
    "invalid",
    `Expected "${names[0]}" in config.json to be ${what} but received ${shown(value)}`,
  );
}

export function unsupported(words: string): AttributionError {
  return new AttributionError("unsupported", `config.json asks for ${words}. This library does not support it`);
}

const mostLayers = 4096;

/** A count: a whole number of at least 1. */
export function count(config: Config, names: readonly string[], fallback: number, largest = 1 << 24): number {
  const value = setting(config, ...names) ?? fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > largest)
    throw wrong(names, `a whole number within 1–${largest}`, value);
  return value;
}

export function layerCount(config: Config, names: readonly string[], fallback: number): number {
  return count(config, names, fallback, mostLayers);
}

export function real(config: Config, names: readonly string[], fallback: number, min: number, max: number): number {
  const value = setting(config, ...names) ?? fallback;
  if (typeof value !== "number" || !(value >= min && value <= max))
    throw wrong(names, `a number within ${min}–${max}`, value);
  return value;
}

/** A probability of dropping, below 1. */
export function dropout(config: Config, name: string, fallback: number): number {
  return real(config, [name], fallback, 0, 1 - Number.EPSILON);
}

export function epsilon(config: Config, name: string, fallback: number): number {
  return real(config, [name], fallback, 0, 1);
}

export function flag(config: Config, name: string, fallback: boolean): boolean {
  const value = setting(config, name) ?? fallback;
  if (typeof value !== "boolean") throw wrong([name], "true or false", value);
  return value;
}

/** Refuses each named setting unless it is absent, null or one of its neutral values. */
export function onlyNeutral(config: Config, neutral: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [name, values] of Object.entries(neutral)) {
    const value = setting(config, name);
    if (value !== undefined && !values.some((one) => JSON.stringify(one) === JSON.stringify(value))) {
      throw unsupported(`"${name}": ${shown(value)}`);
    }
  }
}

/** Settings that would change any family; `own` are those that the family reads itself. */
export function refuseForeign(config: Config, own: readonly string[] = []): void {
  refuseQuantised(config);
  const foreign: Readonly<Record<string, readonly unknown[]>> = {
    auto_map: [],
    per_layer_config: [{}],
    pruned_heads: [{}],
    is_encoder_decoder: [false],
    add_cross_attention: [false],
    is_causal: [true],
    use_bidirectional_attention: [false],
    attn_logit_softcapping: [],
    final_logit_softcapping: [],
    num_experts: [0],
    num_local_experts: [0],
    n_routed_experts: [0],
    vision_config: [],
    kv_lora_rank: [],
    num_kv_shared_layers: [0],
  };
  onlyNeutral(config, Object.fromEntries(Object.entries(foreign).filter(([name]) => !own.includes(name))));
}

/** Weights in the forms of bitsandbytes, GPTQ, AWQ, fp8 and their like, by the name of what made them. */
function refuseQuantised(config: Config): void {
  const made = setting(config, "quantization_config") ?? setting(config, "compression_config");
  if (made === undefined) return;
  const { quant_method: method } = typeof made === "object" ? (made as Config) : {};
  throw new AttributionError(
    "unsupported",
    `config.json says that the weights are quantised by ${shown(method ?? made)} ("quantization_config"). This library reads unquantised checkpoints and GGUF files: load the model that it was made from, or a GGUF file of it`,
  );
}

const activations: ReadonlyMap<string, Architecture["activation"]> = new Map([
  ["relu", "relu"],
  ["gelu", "gelu"],
  ["gelu_python", "gelu"],
  ["silu", "silu"],
  ["swish", "silu"],
  ["gelu_new", "gelu-tanh"],
  ["gelu_fast", "gelu-tanh"],
  ["gelu_accurate", "gelu-tanh"],
  ["gelu_pytorch_tanh", "gelu-tanh"],
  ["gelu_python_tanh", "gelu-tanh"],
  ["quick_gelu", "quick-gelu"],
  ["relu2", "squared-relu"],
]);

export function activation(config: Config, name: string, fallback: string): Architecture["activation"] {
  const value = setting(config, name) ?? fallback;
  const known = typeof value === "string" ? activations.get(value) : undefined;
  if (known === undefined)
    throw unsupported(`"${name}": ${shown(value)} (supported: ${[...activations.keys()].join(", ")})`);
  return known;
}

/** hidden / heads, which must be whole. */
export function wholeHeads(hidden: number, heads: number): number {
  if (hidden % heads !== 0) {
    throw new AttributionError(
      "invalid",
      `Expected the hidden size ${hidden} in config.json to be a multiple of its ${heads} heads`,
    );
  }
  return hidden / heads;
}

/** Standard deviation of weights drawn anew: `initializer_range` (OPT: `init_std`), 0.02 where the config is silent. */
export function initialDeviation(config: Config): number {
  return real(config, ["initializer_range", "init_std"], 0.02, 0, 1e3);
}
