// saveModel: a directory that transformers loads with equal logits. It is written beside the target and renamed at the end,
// so that a model directory is whole or absent.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AttributionError } from "../errors";
import { callNative, native, runNative } from "../native";
import { oneOf, onlyKnown, pathOf } from "../options";
import { makeFolder, namesIn, unwritable } from "../storage/files";
import { besideName, publishFolder, removeAbandoned } from "../storage/partial";
import { safetensorsHeader } from "../storage/safetensors";
import type { ComputeType } from "../../types/architecture";
import type { CallOptions } from "../../types/common";
import type { Model } from "../../types/model";
import { storedName } from "./weights/checkpoint-weights";
import { mergeAdapter } from "./adapters/open";
import { adapterName, adapterWeights, writeAdapterConfig } from "./adapters/save";
import { familyOf } from "./families";
import { adapterForms, computeTypes, type AdapterForm } from "./load-model";
import { handleOf } from "./model";
import { writeTokenizer } from "./pad-token";

export interface SaveModelOptions extends CallOptions {
  /** Type of the stored weights. @default the model's own */
  readonly dtype?: ComputeType;
  /** A model with an adapter: the adapter's folder as PEFT has it, or the whole model with merged weights. @default "apart" */
  readonly adapter?: AdapterForm;
}

const storedTypes = { float32: "F32", bfloat16: "BF16", float64: "F64" } as const satisfies Record<ComputeType, string>;

/**
 * Writes config.json, model.safetensors (under Hugging Face's names) and the tokenizer's files into a new or empty directory.
 * A choice head is written as a sequence classifier of one label, with `"attribution_head": "choice"` in config.json.
 * Of a model with an adapter only the adapter is written (adapter_config.json, adapter_model.safetensors), unless it is merged.
 * @example await saveModel(tuned, "models/tuned", { dtype: "bfloat16" });
 */
export async function saveModel(model: Model, directory: string, options: SaveModelOptions = {}): Promise<void> {
  const bag = onlyKnown(options, ["dtype", "adapter", "signal", "onProgress"]);
  handleOf(model);
  const target = resolve(pathOf("directory", "the path of a new directory", directory));
  const dtype = oneOf(bag, "dtype", model.dtype, computeTypes);
  const form = oneOf<AdapterForm>(bag, "adapter", "apart", adapterForms);
  if (model.architecture.adapter !== undefined && form === "merge") {
    using merged = await mergeAdapter(model, options);
    return await saveModel(merged, directory, { ...options, adapter: undefined });
  }
  await requireFree(target);
  await removeAbandoned(target);
  const partial = besideName(target);
  try {
    await mkdir(partial, { recursive: true });
    await writeConfig(model, partial, dtype);
    await writeTokenizer(model.tokenizer, partial);
    await writeModelWeights(model, join(partial, weightsFile(model)), dtype, options);
    await publishFolder(partial, target);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw unwritable(target, error);
  }
}

async function writeConfig(model: Model, directory: string, dtype: ComputeType): Promise<void> {
  if (model.architecture.adapter !== undefined) return writeAdapterConfig(model, directory);
  await writeFile(join(directory, "config.json"), `${JSON.stringify(withType(model.config, dtype), null, 2)}\n`);
}

/** The file of the weights that saveModel writes. */
export function weightsFile({ architecture }: Model): string {
  return architecture.adapter === undefined ? "model.safetensors" : "adapter_model.safetensors";
}

/** Writes the weights as one safetensors file under the names of the model's family. */
async function writeModelWeights(model: Model, file: string, dtype: ComputeType, call: CallOptions): Promise<void> {
  const { header, weights } = weightFile(model, dtype);
  await runNative((control) => native().writeWeights(handleOf(model), { file, header, weights, dtype }, control), call);
}

/** The header and the weights, in order, of a safetensors file of this model. */
export function weightFile(model: Model, dtype: ComputeType): { header: Uint8Array; weights: string[] } {
  const family = familyOf(model.config);
  const isAdapter = model.architecture.adapter !== undefined;
  const weights = isAdapter
    ? adapterWeights(model.architecture)
    : callNative((addon) => addon.expectedWeights(model.architecture));
  const entries = weights.map(({ name, shape }) => ({
    name: (isAdapter ? adapterName : storedName)(family, name, model.architecture.head.kind),
    dtype: storedTypes[dtype],
    shape,
  }));
  return { header: safetensorsHeader(entries, { format: "pt" }), weights: weights.map(({ name }) => name) };
}

/** transformers 5 writes `dtype`, 4 wrote `torch_dtype`; the model's own spelling is kept. */
function withType(config: Model["config"], dtype: ComputeType): Record<string, unknown> {
  const spelling = "torch_dtype" in config && !("dtype" in config) ? "torch_dtype" : "dtype";
  return { ...config, [spelling]: dtype };
}

async function requireFree(target: string): Promise<void> {
  await makeFolder(dirname(target));
  const entries = await namesIn(target);
  if (entries.length > 0)
    throw new AttributionError(
      "invalid",
      `Expected ${target} to be a new or empty directory, but it holds ${entries.slice(0, 3).join(", ")}`,
    );
}
