// loadModel: config.json (or a GGUF file's metadata) → architecture, container → tensors, both → weights; the native core maps
// and converts them.
import { expected } from "../errors";
import { callNative, native, nativeLoaded, runNative } from "../native";
import { revisionOf } from "../hub/repository";
import { integer, oneOf, onlyKnown } from "../options";
import type { ComputeType, Device } from "../../types/architecture";
import type { CallOptions } from "../../types/common";
import type { Model } from "../../types/model";
import { planModel } from "./config/architecture";
import { describeHead, type HeadRequest } from "./config/head";
import { wrapModel, type ModelDescription } from "./model";
import { openStored } from "./open-stored";
import { addPadToken, type PadToken } from "./pad-token";
import { initialDeviation } from "./config/config-reader";
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
}

const optionNames = ["dtype", "device", "head", "padToken", "seed", "revision", "signal", "onProgress"];

/**
 * Loads a model from a directory (config.json with safetensors or pytorch_model.bin, one file or sharded), from a GGUF file
 * (Llama, Qwen2, Qwen3; with the tokenizer in it), or by an id on the Hugging Face hub ("owner/name", or
 * "owner/name/file.gguf"). A path that exists wins. What the cache holds is used as it is; else the files that are needed are
 * fetched into it, as Python's huggingface_hub does (HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE). Weights that
 * are unread, unfilled, of another shape or not finite, settings that cannot be honoured and families that are unknown are
 * refused by name.
 * @example using model = await loadModel("models/opt-125m", { head: { kind: "classification", labels: ["Supported", "Refuted"] } });
 */
export async function loadModel(source: string, options: LoadModelOptions = {}): Promise<Model> {
  const bag = onlyKnown(options, optionNames);
  if (typeof source !== "string" || source === "")
    throw expected("source", "a directory, a GGUF file or a hub id", source);
  const dtype = oneOf(bag, "dtype", "float32", computeTypes);
  const device = oneOf(bag, "device", "cpu", devices);
  const padToken = oneOf<PadToken>(bag, "padToken", "keep", ["keep", "add"]);
  const seed = integer(bag, "seed", 42, 0);
  const revision = options.revision === undefined ? undefined : revisionOf(bag);
  const stored = await openStored(source, revision, options);
  const plan = planModel(stored.config, options.head);
  await nativeLoaded();
  const map = await stored.weights(
    plan,
    callNative((addon) => addon.expectedWeights(plan.architecture)),
  );
  await requireEqualTied(map.tied);
  const tokenizer = await stored.openTokenizer();
  const description: ModelDescription = {
    architecture: plan.architecture,
    config: describeHead(stored.config, plan.family, plan.head, plan.architecture.vocabulary),
    tokenizer,
    labels: plan.head.labels,
    dtype,
    device,
    ...(stored.source === undefined ? {} : { source: stored.source }),
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
