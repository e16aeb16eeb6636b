/** What a decoder is made of, as data. A family fills it in; the native core builds the model from it. */
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
  /** MLP neurons of a layer: the width of the input of the MLP's output projection. */
  readonly intermediate: number;
  /** Longest input in tokens. */
  readonly positions: number;
  /** Width of the token embedding; differs from `hidden` where the embedding is projected (OPT-350m). */
  readonly embeddingSize: number;
  readonly norm: "layer" | "rms";
  readonly normEpsilon: number;
  /** Where a block normalises: its inputs ("pre") or its residual sums ("post", OPT-350m). */
  readonly normOrder: "pre" | "post";
  /** A norm after the last block. */
  readonly finalNorm: boolean;
  /** A norm after the token embedding (BLOOM). */
  readonly embeddingNorm: boolean;
  readonly position: "learned" | "rotary" | "alibi";
  /** First row of the learned position table that is used (OPT: 2). */
  readonly positionOffset: number;
  /** Leading features of a head that are rotated. */
  readonly rotarySize: number;
  readonly rotaryBase: number;
  /** Attention and MLP read the same residual (GPT-NeoX). */
  readonly parallelResidual: boolean;
  readonly activation: "relu" | "gelu" | "gelu-tanh" | "silu";
  /** Neurons are activation(gate) · up instead of activation(up). */
  readonly gated: boolean;
  /** One fused query-key-value projection laid out [3, head, feature] or [head, 3, feature], or three of their own. */
  readonly queryKeyValue: "separate" | "concatenated" | "interleaved";
  /** An RMS norm over each head's query and key (Qwen3). */
  readonly queryKeyNorm: boolean;
  readonly queryKeyValueBias: boolean;
  readonly attentionOutputBias: boolean;
  readonly mlpBias: boolean;
  /** Linear weights are stored [input, output] (GPT-2's Conv1D). */
  readonly transposedLinears: boolean;
  /** The output projection is the token embedding. */
  readonly tiedOutput: boolean;
  readonly outputBias: boolean;
  /** Probabilities with which training drops; 0 outside training. */
  readonly dropout: { readonly embedding: number; readonly attention: number; readonly residual: number };
  /** What reads the last hidden state. `labels` counts classes; "choice" gives one logit per row, softmax over an instance's rows. */
  readonly head: { readonly kind: HeadKind; readonly labels: number };
}

export type HeadKind = "causalLM" | "classification" | "choice";
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
