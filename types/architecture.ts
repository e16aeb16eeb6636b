/** What a model is made of, as data. A family fills it in; the native core builds the model from it. */
export interface Architecture {
  /** Hugging Face `model_type`; for messages and provenance only, nothing branches on it. */
  readonly family: string;
  /** Rows of the token embedding. */
  readonly vocabulary: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  /** Key-value heads; fewer than `heads` is grouped-query attention. */
  readonly keyValueHeads: number;
  readonly headSize: number;
  /**
   * MLP neurons of a layer: the width of the input of the MLP's output projection. Of a mixture those of all its experts side by side,
   * then those of its shared expert; where its layers differ, of the widest one.
   */
  readonly intermediate: number;
  /** Longest input in tokens. */
  readonly positions: number;
  /** Width of the token embedding; differs from `hidden` where the embedding is projected (OPT-350m). */
  readonly embeddingSize: number;
  /** Token embeddings are multiplied by this (Gemma: the root of `hidden`). */
  readonly embeddingScale: number;
  /** What attention and MLP add to the residual is multiplied by this (Granite). */
  readonly residualScale: number;
  readonly norm: "layer" | "rms";
  readonly normEpsilon: number;
  /** A norm multiplies by its weight, by 1 + its weight (Gemma), or has no weight (OLMo). */
  readonly normWeight: "factor" | "offset" | "none";
  /** A LayerNorm has a bias. */
  readonly normBias: boolean;
  /**
   * Where a block normalises: the inputs of attention and MLP ("pre"), what they add to the residual ("output", OLMo 2), both
   * (Gemma 2), or the residual after each addition ("post", OPT-350m).
   */
  readonly normOrder: "pre" | "output" | "both" | "post";
  /** The first block's attention reads its input through a norm (not in ModernBERT). */
  readonly firstAttentionNorm: boolean;
  /** A norm after the last block. */
  readonly finalNorm: boolean;
  /** Rows of the table of token types, which tell the two texts of a pair apart (BERT); 0 is none. */
  readonly tokenTypes: number;
  /** A norm after the embeddings (BLOOM, BERT). */
  readonly embeddingNorm: boolean;
  readonly position: "learned" | "rotary" | "alibi";
  /** First row of the learned position table that is used (OPT, RoBERTa: 2). */
  readonly positionOffset: number;
  /** The model's rotary embeddings; a layer's attention names one of them. */
  readonly rotary: readonly Rotary[];
  /** A token sees none behind it. Encoders have no causality: each token sees its whole row. */
  readonly causal: boolean;
  /** The attention of each layer. */
  readonly attention: readonly LayerAttention[];
  /** Soft cap of attention scores, cap · tanh(score / cap); 0 is none (Gemma 2: 50). */
  readonly attentionCap: number;
  /** Attention and MLP read the same residual (GPT-NeoX). */
  readonly parallelResidual: boolean;
  /** With `parallelResidual`: attention and MLP read it through one norm (GPT-J, Phi, Cohere). */
  readonly sharedNorm: boolean;
  readonly activation: "relu" | "gelu" | "gelu-tanh" | "silu" | "quick-gelu" | "squared-relu";
  /** Neurons are activation(gate) · up instead of activation(up). */
  readonly gated: boolean;
  /** Some layers' MLPs are mixtures of experts; absent where none is. */
  readonly mixture?: Mixture;
  /** Gate and up are one projection, the gate's rows first (Phi-3). */
  readonly fusedGate: boolean;
  /**
   * Three projections of their own, or a fused one: all queries, then all keys, then all values ("concatenated"), or for each
   * key-value head its queries, its key and its value ("interleaved").
   */
  readonly queryKeyValue: "separate" | "concatenated" | "interleaved";
  /** A norm over each head's query and key (Qwen3), or over the whole projections (OLMo 2). */
  readonly queryKeyNorm: "none" | "head" | "projection";
  /** Queries, keys and values are clipped to ± this; 0 is none (OLMo). */
  readonly queryKeyValueClip: number;
  readonly queryKeyValueBias: boolean;
  readonly attentionOutputBias: boolean;
  readonly mlpBias: boolean;
  /** Linear weights are stored [input, output] (GPT-2's Conv1D). */
  readonly transposedLinears: boolean;
  /** The output projection is the token embedding. */
  readonly tiedOutput: boolean;
  readonly outputBias: boolean;
  /** A language model's logits are multiplied by this (Cohere, Granite). */
  readonly logitScale: number;
  /** Soft cap of a language model's logits; 0 is none (Gemma 2: 30). */
  readonly logitCap: number;
  /** Probabilities with which training drops; 0 outside training. */
  readonly dropout: { readonly embedding: number; readonly attention: number; readonly residual: number };
  /** What reads the last hidden state. */
  readonly head: ArchitectureHead;
  /** The adapter that is kept apart from its base's weights; absent where there is none. */
  readonly adapter?: Adapter;
}

export interface ArchitectureHead {
  readonly kind: HeadKind;
  /** Classes; "choice" gives one logit per row, softmax over an instance's rows. */
  readonly labels: number;
  /** What a classifier reads of a row: its last token, its first, or the mean of all. A masked language model reads its mask. @default "last" */
  readonly readout?: "last" | "first" | "mean";
  /** What happens to that state before the projection: a linear module, an activation, and a norm or not (BERT's pooler). @default nothing */
  readonly transform?: {
    readonly activation: Architecture["activation"] | "tanh";
    readonly bias: boolean;
    readonly norm: boolean;
  };
  /** The class scores have a bias. @default false */
  readonly bias?: boolean;
  /** Probability with which training drops what the projection reads. @default 0 */
  readonly dropout?: number;
}

/**
 * A rotary embedding: feature pair i of a token at position p is turned by the angle p · base^(−2 i / size) · factors[i]. Every rope
 * scaling comes to such factors.
 */
export interface Rotary {
  /** Leading features of a head that are turned. */
  readonly size: number;
  readonly base: number;
  /** A pair is features (2 i, 2 i + 1) instead of (i, i + size / 2) (GPT-J, Cohere). */
  readonly interleaved: boolean;
  /** One for each pair; empty where all are 1. */
  readonly factors: readonly number[];
  /** Cosines and sines are multiplied by this (YaRN's attention factor). */
  readonly scale: number;
  /** Rows of more tokens than this turn by what follows; 0 is none. */
  readonly longest: number;
  readonly longFactors: readonly number[];
  readonly longScale: number;
  /** Where not 0, the base grows with the row instead: by (growth · tokens / longest − growth + 1)^(size / (size − 2)). */
  readonly growth: number;
}

/**
 * A layer with experts: a router gives each token to the `chosen` experts whose shares of a softmax are the largest. What an expert's
 * gated MLP writes is multiplied by its share.
 */
export interface Mixture {
  readonly experts: number;
  readonly chosen: number;
  /** Neurons of an expert. Neuron i of a layer is neuron i mod width of expert ⌊i / width⌋. */
  readonly width: number;
  /** Neurons of an expert that every token goes to, its writing multiplied by a sigmoid of the token; 0 is none (Qwen2-MoE). */
  readonly shared: number;
  /** The chosen experts' shares are divided by their sum. */
  readonly renormalised: boolean;
  /** Whether each layer has experts. */
  readonly layers: readonly boolean[];
  /** Neurons of a layer without experts. */
  readonly dense: number;
}

/** Low-rank adapters (LoRA) over linear modules of the blocks. */
export interface Adapter {
  readonly modules: readonly AdaptedModule[];
  /** Modules whose own weights belong to the adapter (PEFT's `modules_to_save`): "score", for example. */
  readonly saved: readonly string[];
  /** While training: the share of A's inputs that is dropped. */
  readonly dropout: number;
}

/** y = W x + scale · B (A x), with A [rank, input] and B [output, rank]. */
export interface AdaptedModule {
  /** `layers.3.mlp.down`; its A and B are the modules `layers.3.mlp.down.loraA` and `layers.3.mlp.down.loraB`. */
  readonly module: string;
  readonly rank: number;
  /** alpha / rank, or alpha / √rank (rsLoRA). */
  readonly scale: number;
}

/** What the attention of one layer does. */
export interface LayerAttention {
  /** Keys that a query sees, its own included; without causality so many to either side. 0 is all. */
  readonly window: number;
  /** Scores are query · key divided by this: √(head size) in most models. */
  readonly divisor: number;
  /** Index in `rotary`; −1 where the layer turns nothing (SmolLM3). */
  readonly rotary: number;
}

export type HeadKind = "causalLM" | "maskedLM" | "classification" | "choice";
export type ComputeType = "float32" | "bfloat16" | "float64";
export type Device = "cpu" | "cuda";

/** How the bytes of a stored tensor are coded; the second group are GGUF blocks. */
export type StoredType =
  "F64" | "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q4_K" | "Q5_K" | "Q6_K";

/** A tensor in a checkpoint, whatever its container (safetensors, pytorch_model.bin, GGUF). */
export interface StoredTensor {
  /** Its name in the checkpoint. */
  readonly name: string;
  readonly dtype: StoredType;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Absolute path of the file that holds it. */
  readonly file: string;
  /** First byte, from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** A stored tensor and the weight of ours that it fills. */
export interface WeightSource extends StoredTensor {
  /** Our name, e.g. `layers.0.mlp.up.weight`; see native/model/weights.h for the list. */
  readonly weight: string;
  /** Rows of each head are interleaved as GGUF's Llama stores queries and keys; undone while reading. @default 0 (no heads, nothing to undo) */
  readonly permutedHeads?: number;
}
