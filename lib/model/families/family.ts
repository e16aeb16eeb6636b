// What a family is: the names and defaults of its config.json, and the names of its weights. Plain data and one function;
// containers are unknown here, and nothing elsewhere asks which family a model is of.
import type { Architecture } from "../../../types/architecture";
import type { Config } from "../config/config-reader";

/** What a family reads from config.json; the head is added by head.ts. */
export type Body = Omit<Architecture, "family" | "head">;

export interface Family {
  /** Hugging Face `model_type`. */
  readonly modelType: string;
  /** Hugging Face classes by head, written to `architectures`. */
  readonly causalLM: string;
  readonly classification: string;
  /** What weight names may begin with; the first one is written. */
  readonly prefixes: readonly string[];
  /** Our modules and theirs, without prefix; `{i}` is the layer. `.weight` and `.bias` are the same on both sides. */
  readonly modules: Readonly<Record<string, string>>;
  /** Names of the language modelling head, which has no prefix; the first one is written. */
  readonly output: readonly string[];
  /** Stored buffers that hold no weight, without prefix. */
  readonly ignored: readonly RegExp[];
  readonly readBody: (config: Config) => Body;
}

/** What most families have in common; each states what differs. */
export const plain = {
  normOrder: "pre",
  finalNorm: true,
  embeddingNorm: false,
  positionOffset: 0,
  rotarySize: 0,
  rotaryBase: 0,
  parallelResidual: false,
  gated: false,
  queryKeyNorm: false,
  transposedLinears: false,
  outputBias: false,
} as const satisfies Partial<Body>;
