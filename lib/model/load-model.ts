// loadModel: config.json (or a GGUF file's metadata) → architecture, container → tensors, both → weights; the native core maps
// and converts them.
import { AttributionError, expected, shown } from "../errors";
import { callNative, native, nativeLoaded, runNative } from "../native";
import { revisionOf } from "../hub/repository";
import { integer, oneOf, onlyKnown, pathOf } from "../options";
import type { ComputeType, Device } from "../../types/architecture";
import type { CallOptions } from "../../types/common";
import type { Tokenizer } from "../../types/data";
import type { Model } from "../../types/model";
import { readAdapterConfig } from "./adapters/config";
import { mergeAdapter, openAdapter, storedHead } from "./adapters/open";
import { planModel } from "./config/architecture";
import { describeHead, type HeadRequest } from "./config/head";
import { givenTokenizer } from "./given-tokenizer";
import { wrapModel, type ModelDescription } from "./model";
import { openStored } from "./open-stored";
import { addPadToken, type PadToken } from "./pad-token";
import { initialDeviation } from "./config/config-reader";
import { findModel } from "./weights/source";
import { requireEqualTied } from "./weights/tied-weights";

export const computeTypes: readonly ComputeType[] = ["float32", "bfloat16", "float64"];
export const devices: readonly Device[] = ["cpu", "cuda"];

export interface LoadModelOptions extends CallOptions {
  /** Type of weights and arithmetic, whatever the file holds. @default "float32" */
  readonly dtype?: ComputeType;
  /** @default "cpu" */
  readonly device?: Device;
  /** What reads the last hidden state. One that the checkpoint has no weights for is drawn with `seed`. @default the checkpoint's own */
  readonly head?: HeadRequest;
  /** "add": a pad token with its embedding row, where the tokenizer has none. @default "keep" */
  readonly padToken?: PadToken;
  /** Seed of a newly drawn head. @default 42 */
  readonly seed?: number;
  /** Hub ids: the branch, tag or commit. @default "main" */
  readonly revision?: string;
  /** Of an adapter's folder: the base, as `source` names one. @default what adapter_config.json names */
  readonly base?: string;
  /** Of an adapter's folder: A and B as modules of their own over the base's weights, or W + scale · B A as plain weights. @default "apart" */
  readonly adapter?: AdapterForm;
  /** In place of the model's own: a tokenizer, its directory, or the path of its tokenizer.json. @default the model's own */
  readonly tokenizer?: Tokenizer | string;
}

export type AdapterForm = "apart" | "merge";
export const adapterForms: readonly AdapterForm[] = ["apart", "merge"];

const optionNames = [
  "dtype",
  "device",
  "head",
  "padToken",
  "seed",
  "revision",
  "base",
  "adapter",
  "tokenizer",
  "signal",
  "onProgress",
];

/**
 * Loads a model from a directory (config.json with safetensors or pytorch_model.bin, one file or sharded), from a GGUF file
 * (Llama, Qwen2, Qwen3, OLMo 2, Phi-3; with the tokenizer in it; of several parts the first), or by an id on the Hugging Face hub
 * ("owner/name", or "owner/name/file.gguf"). A path that exists wins. What the cache holds is used as it is; else the files that are needed are
 * fetched into it, as Python's huggingface_hub does (HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE). Weights that
 * are unread, unfilled, of another shape or not finite, settings that cannot be honoured and families that are unknown are
 * refused by name.
 *
 * A folder with adapter_config.json is a LoRA adapter of PEFT, and is loaded over its base: y = W x + scale · B (A x). Kept apart, A and B
 * are the modules `layers.N.….loraA` and `.loraB`, which instance methods take by default (`parameters: "adapter"`); neuron methods
 * see the merged weights. Other kinds of adapters, and one that does not fit its base, are refused by name.
 * @example using model = await loadModel("models/opt-125m", { head: { kind: "classification", labels: ["Supported", "Refuted"] } });
 */
export async function loadModel(source: string, options: LoadModelOptions = {}): Promise<Model> {
  const bag = onlyKnown(options, optionNames);
  if (typeof source !== "string" || source === "")
    throw expected("source", "a directory, a GGUF file or a hub id", source);
  const form = oneOf<AdapterForm>(bag, "adapter", "apart", adapterForms);
  const revision = options.revision === undefined ? undefined : revisionOf(bag);
  const found = await findModel(source, revision, options);
  if (found.form === "adapter") return loadAdapted(found.path, form, options);
  for (const name of ["base", "adapter"] as const)
    if (bag[name] !== undefined)
      throw new AttributionError("invalid", `"${name}" is of an adapter's folder, and ${source} holds no adapter`);
  const dtype = oneOf(bag, "dtype", "float32", computeTypes);
  const device = oneOf(bag, "device", "cpu", devices);
  const padToken = oneOf<PadToken>(bag, "padToken", "keep", ["keep", "add"]);
  const seed = integer(bag, "seed", 42, 0);
  const stored = await openStored(found);
  const plan = planModel(stored.config, options.head);
  await nativeLoaded();
  const map = await stored.weights(
    plan,
    callNative((addon) => addon.expectedWeights(plan.architecture)),
  );
  await requireEqualTied(map.tied);
  const tokenizer = await (options.tokenizer === undefined
    ? stored.openTokenizer()
    : givenTokenizer(options.tokenizer));
  const description: ModelDescription = {
    architecture: plan.architecture,
    config: describeHead(stored.config, plan.family, plan.head, plan.architecture.vocabulary),
    tokenizer,
    labels: plan.head.labels,
    dtype,
    device,
    ...(stored.source === undefined ? {} : { source: stored.source }),
    location: found.hub === undefined ? found.path : source,
  };
  try {
    const parameters = {
      architecture: plan.architecture,
      weights: map.weights,
      dtype,
      device,
      newHeadSeed: map.isNewHead ? seed : -1,
      newHeadDeviation: initialDeviation(stored.config),
    };
    const info = await runNative((control) => native().openModel(parameters, control), options);
    return await (padToken === "add" ? addPadToken(info, description, options) : wrapModel(info, description));
  } catch (error) {
    tokenizer.close();
    throw error;
  }
}

/** The adapter of a folder over its base. */
async function loadAdapted(folder: string, form: AdapterForm, options: LoadModelOptions): Promise<Model> {
  const { base: given, adapter: _form, revision: _revision, ...others } = options;
  if (given !== undefined) pathOf("base", "a directory, a GGUF file or a hub id", given);
  const config = await readAdapterConfig(folder);
  const source = given ?? config.base;
  if (source === undefined) throw new AttributionError("missing", `${config.path} names no base: give it as "base"`);
  const head = options.head ?? (await storedHead(folder));
  using base = await loadBase(source, given === undefined ? config.path : undefined, { ...others, head });
  const apart = await openAdapter(folder, config, base, options);
  if (form === "apart") return apart;
  using adapted = apart;
  return await mergeAdapter(adapted, options);
}

/** Says where an absent base was named. */
async function loadBase(source: string, namedBy: string | undefined, options: LoadModelOptions): Promise<Model> {
  try {
    return await loadModel(source, options);
  } catch (error) {
    if (namedBy === undefined || !(error instanceof AttributionError) || error.code !== "missing") throw error;
    throw new AttributionError(
      "missing",
      `${namedBy} names the base ${shown(source)}: ${error.message}. Or give "base"`,
      {
        cause: error,
      },
    );
  }
}
