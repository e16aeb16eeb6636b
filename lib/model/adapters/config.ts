// Reads adapter_config.json as PEFT writes it. A setting that is there is read, changes nothing here, or is refused by name.
import { join } from "node:path";
import { AttributionError, shown } from "../../errors";
import { readJsonObject } from "../../storage/files";

export interface AdapterConfig {
  readonly path: string;
  /** Where its base lies, as PEFT was told. */
  readonly base: string | undefined;
  readonly dropout: number;
  /** Rank and scale of the adapter of a module, by its name in the base. */
  rankOf(module: string): number;
  scaleOf(module: string): number;
}

export const configFile = "adapter_config.json";

/** Say nothing about the outputs of a stored adapter: which modules it has is in its tensors. */
const silent: ReadonlySet<string> = new Set([
  ...["auto_mapping", "exclude_modules", "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform"],
  ...["megatron_core", "modules_to_save", "peft_version", "qalora_group_size", "revision", "runtime_config"],
  ...["target_modules", "task_type", "ensure_weight_tying", "eva_config", "loftq_config"],
]);

const read: ReadonlySet<string> = new Set([
  ...["peft_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "use_rslora"],
  ...["rank_pattern", "alpha_pattern", "bias", "init_lora_weights"],
]);

/** Beginnings that leave the base's weights as they are. */
const plainBeginnings: readonly unknown[] = [true, false, "gaussian", "orthogonal", "eva"];

/** The adapter of a folder; "unsupported" for other kinds than LoRA and for settings that would change its outputs. */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  const path = join(directory, configFile);
  const config = await readJsonObject(path);
  refuseOthers(path, config);
  const rank = numberOf(path, config, "r", 8, 1, 1 << 20);
  const alpha = numberOf(path, config, "lora_alpha", 8, -1e9, 1e9);
  const ranks = patternsOf(path, config, "rank_pattern");
  const alphas = patternsOf(path, config, "alpha_pattern");
  const rooted = flagOf(path, config, "use_rslora");
  const rankOf = (module: string) => ranks(module) ?? rank;
  const base = config["base_model_name_or_path"] ?? undefined;
  if (base !== undefined && typeof base !== "string") throw wrong(path, "base_model_name_or_path", "a text", base);
  return {
    path,
    base: base === "" ? undefined : base,
    dropout: numberOf(path, config, "lora_dropout", 0, 0, 1),
    rankOf,
    scaleOf: (module) => (alphas(module) ?? alpha) / (rooted ? Math.sqrt(rankOf(module)) : rankOf(module)),
  };
}

function refuseOthers(path: string, config: Readonly<Record<string, unknown>>): void {
  const kind = config["peft_type"];
  if (kind !== "LORA")
    throw new AttributionError(
      "unsupported",
      `${path} is of an adapter of the kind ${shown(kind)}. LoRA is read; merge others into their base with PEFT (merge_and_unload), and load that`,
    );
  if (config["use_dora"] === true) throw unsupported(path, "use_dora", "DoRA also scales the columns of W");
  const bias = config["bias"] ?? "none";
  if (bias !== "none") throw unsupported(path, "bias", `${shown(bias)} changes the biases of the base`);
  const beginning = config["init_lora_weights"] ?? true;
  if (!plainBeginnings.includes(beginning))
    throw unsupported(path, "init_lora_weights", `${shown(beginning)} changes the weights of the base`);
  for (const [name, value] of Object.entries(config)) {
    if (!read.has(name) && !silent.has(name) && !isEmpty(value)) throw unsupported(path, name, shown(value));
  }
}

/** A setting that is off. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function unsupported(path: string, name: string, words: string): AttributionError {
  return new AttributionError(
    "unsupported",
    `${path} has "${name}": ${words}. This library does not support it; merge the adapter with PEFT (merge_and_unload), and load that`,
  );
}

function wrong(path: string, name: string, what: string, value: unknown): AttributionError {
  return new AttributionError("invalid", `Expected "${name}" in ${path} to be ${what} but received ${shown(value)}`);
}

function numberOf(
  path: string,
  config: Readonly<Record<string, unknown>>,
  name: string,
  fallback: number,
  min: number,
  max: number,
): number {
  const value = config[name] ?? fallback;
  const isRight =
    typeof value === "number" && value >= min && value <= max && (name !== "r" || Number.isInteger(value));
  if (!isRight) throw wrong(path, name, `a${name === "r" ? " whole" : ""} number within ${min}–${max}`, value);
  return value;
}

function flagOf(path: string, config: Readonly<Record<string, unknown>>, name: string): boolean {
  const value = config[name] ?? false;
  if (typeof value !== "boolean") throw wrong(path, name, "true or false", value);
  return value;
}

/** Numbers of modules by patterns of their names, as PEFT takes them: the first that matches the end of a name. */
function patternsOf(
  path: string,
  config: Readonly<Record<string, unknown>>,
  name: string,
): (module: string) => number | undefined {
  const table = config[name] ?? {};
  if (typeof table !== "object" || Array.isArray(table)) throw wrong(path, name, "a table of numbers", table);
  const patterns = Object.entries(table).map(([pattern, value]: [string, unknown]) => {
    if (typeof value !== "number" || !Number.isFinite(value) || (name === "rank_pattern" && value < 1))
      throw wrong(path, name, "a table of numbers", table);
    return { expression: expressionOf(path, name, pattern), value };
  });
  return (module) => patterns.find(({ expression }) => expression.test(module))?.value;
}

function expressionOf(path: string, name: string, pattern: string): RegExp {
  try {
    return new RegExp(`^(.*\\.)?(${pattern})$`, "u");
  } catch {
    throw wrong(path, name, "a table whose names are regular expressions that JavaScript reads", pattern);
  }
}
