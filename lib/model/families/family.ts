// What a family is: the names and defaults of its config.json, and the names of its weights. Plain data and one function;
// containers are unknown here, and nothing elsewhere asks which family a model is of.
import type { Architecture, ArchitectureHead, LayerAttention } from "../../../types/architecture";
import type { Config } from "../config/config-reader";

/** What a family reads from config.json; the head is added by head.ts. */
export interface Body extends Omit<Architecture, "family" | "head" | "adapter"> {
  /** What its heads are, where they are not a plain projection of the last token's state. */
  readonly headKinds?: Readonly<Record<"maskedLM" | "classification", Omit<ArchitectureHead, "kind" | "labels">>>;
}

export interface Family {
  /** Hugging Face `model_type`. */
  readonly modelType: string;
  /** Hugging Face classes by head, written to `architectures`. */
  readonly causalLM?: string;
  /** An encoder's, in the place of `causalLM`. */
  readonly maskedLM?: string;
  readonly classification: string;
  /** What weight names may begin with; the first one is written. */
  readonly prefixes: readonly string[];
  /**
   * Our modules and theirs, without prefix; `{i}` is the layer and `{e}` the expert. `.weight` and `.bias` are the same on both sides.
   */
  readonly modules: Readonly<Record<string, string>>;
  /** Names of the language modelling head, which has no prefix; the first one is written. */
  readonly output: readonly string[];
  /**
   * Names of the heads' modules that are not plain: ours, and theirs with `{prefix}` where it stands before them; the first one is
   * written. "outputBias" is a tensor of its own.
   */
  readonly heads?: Readonly<Record<"maskedLM" | "classification", Readonly<Record<string, readonly string[]>>>>;
  /** Stored buffers that hold no weight, without prefix. */
  readonly ignored: readonly RegExp[];
  /** Names of a layer's router and of its experts together where a file has the experts of a layer in one tensor. */
  readonly fused?: FusedNames;
  /** Settings that other families would refuse and this one reads. */
  readonly reads?: readonly string[];
  /** What of these depends on the configuration. */
  readonly refine?: (config: Config) => Partial<Family>;
  readonly readBody: (config: Config) => Body;
}

/** Names without prefix; `{i}` is the layer. */
export interface FusedNames {
  /** [expert, output, input] with each expert's gate before its up. */
  readonly gateUp: string;
  /** [expert, output, input] */
  readonly down: string;
  readonly router: string;
}

/** What most families have in common; each states what differs. */
export const plain = {
  embeddingScale: 1,
  residualScale: 1,
  normWeight: "factor",
  normBias: true,
  normOrder: "pre",
  finalNorm: true,
  embeddingNorm: false,
  tokenTypes: 0,
  firstAttentionNorm: true,
  causal: true,
  positionOffset: 0,
  rotary: [],
  attentionCap: 0,
  parallelResidual: false,
  sharedNorm: false,
  gated: false,
  fusedGate: false,
  queryKeyNorm: "none",
  queryKeyValueClip: 0,
  transposedLinears: false,
  outputBias: false,
  logitScale: 1,
  logitCap: 0,
} as const satisfies Partial<Body>;

/** Every layer with the same attention, of which a family states what is not plain. */
export function sameAttention(
  layers: number,
  headSize: number,
  own: Partial<LayerAttention> = {},
): readonly LayerAttention[] {
  return Array.from({ length: layers }, () => ({ window: 0, divisor: Math.sqrt(headSize), rotary: -1, ...own }));
}

/** The body with a window of each layer; 0 is none. */
export function withWindows(body: Body, window: (layer: number) => number): Body {
  return { ...body, attention: body.attention.map((layer, i) => ({ ...layer, window: window(i) })) };
}
