// An adapter's folder as PEFT reads it: adapter_config.json, adapter_model.safetensors, and the head where the base has another.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AttributionError } from "../../errors";
import { callNative } from "../../native";
import type { Adapter, Architecture, HeadKind } from "../../../types/architecture";
import type { Model } from "../../../types/model";
import type { NativeWeightInfo } from "../../../types/native";
import { familyOf } from "../families";
import type { Family } from "../families/family";
import { descriptionOf } from "../model";
import { storedName } from "../weights/checkpoint-weights";
import { configFile } from "./config";
import { headFile } from "./open";
import { adaptable } from "./tensors";

/** The adapter of an architecture; "invalid" where it has none. */
export function adapterOf({ adapter }: Architecture): Adapter {
  if (adapter === undefined) throw new AttributionError("invalid", "The model has no adapter");
  return adapter;
}

/** The weights that belong to the adapter, in the order of the architecture's. */
export function adapterWeights(architecture: Architecture): NativeWeightInfo[] {
  const { saved } = adapterOf(architecture);
  const all = callNative((addon) => addon.expectedWeights(architecture));
  return all.filter(
    ({ name }) => /\.lora[AB]\.weight$/.test(name) || saved.includes(name.replace(/\.(weight|bias)$/, "")),
  );
}

/** PEFT's name of a weight of ours. */
export function adapterName(family: Family, weight: string, head: HeadKind): string {
  const own = weight.replace(/\.lora[AB]\.weight$/, ".weight");
  const side = /\.lora([AB])\.weight$/.exec(weight)?.[1];
  const theirs = storedName(family, own, head);
  return `base_model.model.${side === undefined ? theirs : theirs.replace(/weight$/, `lora_${side}.weight`)}`;
}

/** Writes all of the folder but its tensors and the tokenizer. */
export async function writeAdapterConfig(model: Model, directory: string): Promise<void> {
  const { location } = descriptionOf(model);
  const config = peftConfig(familyOf(model.config), model.architecture, location);
  await writeFile(join(directory, configFile), `${JSON.stringify(config, null, 2)}\n`);
  const { kind } = model.architecture.head;
  if (kind === "causalLM") return;
  const head = kind === "classification" ? { kind, labels: model.labels } : { kind };
  await writeFile(join(directory, headFile), `${JSON.stringify(head, null, 2)}\n`);
}

function peftConfig(family: Family, architecture: Architecture, location: string | undefined): Record<string, unknown> {
  const { modules, saved, dropout } = adapterOf(architecture);
  const pathOf = (module: string) =>
    storedName(family, `${module}.weight`, architecture.head.kind).replace(/\.weight$/, "");
  const [first] = modules;
  const alpha = (rank: number, scale: number) => Number((rank * scale).toPrecision(15));
  const others = modules.filter(({ rank, scale }) => rank !== first.rank || scale !== first.scale);
  const named = (value: (one: (typeof modules)[number]) => number) =>
    Object.fromEntries(others.map((one) => [pathOf(one.module), value(one)]));
  return {
    peft_type: "LORA",
    task_type: architecture.head.kind === "causalLM" ? "CAUSAL_LM" : "SEQ_CLS",
    base_model_name_or_path: location ?? null,
    r: first.rank,
    lora_alpha: alpha(first.rank, first.scale),
    lora_dropout: dropout,
    target_modules: shortest(
      modules.map(({ module }) => pathOf(module)),
      callNative((addon) => addon.expectedWeights(architecture))
        .filter(({ name, shape }) => shape.length === 2 && adaptable.test(name.replace(/\.weight$/, "")))
        .filter(({ name }) => !/\.lora[AB]\./.test(name))
        .map(({ name }) => pathOf(name.replace(/\.weight$/, ""))),
    ),
    rank_pattern: named(({ rank }) => rank),
    alpha_pattern: named(({ rank, scale }) => alpha(rank, scale)),
    modules_to_save: saved.length > 0 ? saved.map(pathOf).map((path) => path.split(".").at(-1)) : null,
    bias: "none",
    fan_in_fan_out: architecture.transposedLinears,
    use_rslora: false,
    use_dora: false,
    init_lora_weights: true,
    inference_mode: true,
  };
}

/** The last part of a path stands for all modules that end in it, where all of them are meant. */
function shortest(paths: readonly string[], all: readonly string[]): string[] {
  const end = (path: string) => path.split(".").at(-1) as string;
  const meant = new Set(paths);
  const short = (path: string) => all.every((other) => end(other) !== end(path) || meant.has(other));
  return [...new Set(paths.map((path) => (short(path) ? end(path) : path)))];
}
