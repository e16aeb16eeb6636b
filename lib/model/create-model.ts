// createModel: a randomly initialised model of any family, from the config.json object that would describe it.
import { AttributionError, expected } from "../errors";
import { callNative, native, nativeLoaded, runNative } from "../native";
import { onlyKnown, oneOf, seedOf } from "../options";
import type { Architecture, ComputeType, Device } from "../../types/architecture";
import type { CallOptions } from "../../types/common";
import type { Tokenizer } from "../../types/data";
import type { Model } from "../../types/model";
import { absentTokenizer } from "./absent-tokenizer";
import { planModel } from "./config/architecture";
import { describeHead, type HeadRequest } from "./config/head";
import { givenTokenizer } from "./given-tokenizer";
import { computeTypes, devices } from "./load-model";
import { wrapModel } from "./model";
import { initialDeviation, type Config } from "./config/config-reader";

export interface CreateModelOptions extends CallOptions {
  /** The same seed gives the same weights. @default 42 */
  readonly seed?: number;
  /** @default "float32" */
  readonly dtype?: ComputeType;
  /** @default "cpu" */
  readonly device?: Device;
  /** @default what config's `architectures` and `id2label` say, else a language model */
  readonly head?: HeadRequest;
  /** Short for head: { kind: "classification", labels }. */
  readonly labels?: readonly string[];
  /** A tokenizer, its directory, or the path of its tokenizer.json. @default none: tokens are given by hand */
  readonly tokenizer?: Tokenizer | string;
}

const optionNames = ["seed", "dtype", "device", "head", "labels", "tokenizer", "signal", "onProgress"];

/**
 * Makes a model with random weights: normal with the config's `initializer_range` (OPT: `init_std`; 0.02 where silent),
 * biases 0, norms 1. `config` is an object as config.json holds it, with `model_type` and the family's own names.
 * @example using model = await createModel({ model_type: "gpt2", n_layer: 2, n_embd: 64, n_head: 4 }, { tokenizer: "tokenizers/gpt2", seed: 1 });
 */
export async function createModel(config: Config, options: CreateModelOptions = {}): Promise<Model> {
  const bag = onlyKnown(options, optionNames);
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw expected("config", "an object as config.json holds it", config);
  const seed = seedOf(bag);
  const dtype = oneOf(bag, "dtype", "float32", computeTypes);
  const device = oneOf(bag, "device", "cpu", devices);
  const plan = planModel(config, headOf(options));
  const deviation = initialDeviation(config);
  const tokenizer =
    options.tokenizer === undefined
      ? absentTokenizer("A model made by createModel without a tokenizer")
      : await givenTokenizer(options.tokenizer);
  const { architecture } = plan;
  await nativeLoaded();
  requireMemory(architecture, dtype);
  const info = await runNative(
    (control) => native().createModel({ architecture, dtype, device, seed, deviation }, control),
    options,
  );
  return wrapModel(info, {
    architecture,
    tokenizer,
    dtype,
    device,
    labels: plan.head.labels,
    config: describeHead(config, plan.family, plan.head, architecture.vocabulary),
  });
}

const bytesOf: Readonly<Record<ComputeType, number>> = { float32: 4, bfloat16: 2, float64: 8 };

/** Refuses a model that this process cannot hold, before hours go by drawing its weights. */
function requireMemory(architecture: Architecture, dtype: ComputeType): void {
  const weights = callNative((addon) => addon.expectedWeights(architecture));
  const values = weights.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  const [needed, free] = [values * bytesOf[dtype], process.availableMemory()];
  const inGiB = (bytes: number) => `${(bytes / 2 ** 30).toPrecision(3)} GiB`;
  if (needed > free)
    throw new AttributionError(
      "memory",
      `The model's ${values} weights take ${inGiB(needed)} as ${dtype}, but this process can have ${inGiB(free)} more. Make it smaller, or choose another "dtype"`,
    );
}

function headOf({ head, labels }: CreateModelOptions): HeadRequest | undefined {
  if (labels === undefined) return head;
  if (head !== undefined) throw expected("labels", "left out where head is given", labels);
  return { kind: "classification", labels };
}
