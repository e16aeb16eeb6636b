// What a query's gradient can be of, beside its loss.

/** A class, choice or token id: one for all queries, or one for each. */
export type QuantityLabel = number | readonly number[];

/**
 * A quantity f inside or at the end of the model; exactly one of the fields besides `positions`. An instance attribution `of` it asks
 * which training instances raise f: positive scores do. f is the mean over the positions.
 */
export interface Quantity {
  /** A neuron's activation: the input of the MLP's output projection. */
  readonly unit?: { readonly layer: number; readonly unit: number };
  /** A head's output, before the output projection, projected on a direction of its features: Σ_f direction[f] · z[f]. */
  readonly head?: { readonly layer: number; readonly unit: number; readonly direction: ArrayLike<number> };
  /** The residual after a block, projected on a direction [hidden]. */
  readonly direction?: { readonly layer: number; readonly direction: ArrayLike<number> };
  /** A token's logit at the positions, or a class's (choice's). */
  readonly logit?: QuantityLabel;
  /** Its probability. */
  readonly probability?: QuantityLabel;
  /** Its log-probability, in nats. */
  readonly logProbability?: QuantityLabel;
  /** The first logit minus the second. */
  readonly contrast?: readonly [QuantityLabel, QuantityLabel];
  /** A head's attention weight from the positions to the position `to`. */
  readonly attention?: { readonly layer: number; readonly unit: number; readonly to: number };
  /** The query's last token, all of its tokens, or these; negative ones count from the end. @default "readout" */
  readonly positions?: "readout" | "all" | readonly number[];
}

/** The same for the addon. */
export interface NativeQuantity {
  readonly kind: "neuron" | "head" | "residual" | "output" | "attention";
  readonly layer: number;
  readonly unit: number;
  readonly direction: Float64Array;
  readonly target: "logit" | "probability" | "logProbability";
  /** [query]; contrasts may be empty. */
  readonly labels: Int32Array;
  readonly contrasts: Int32Array;
  /** In each row, negative from its end; empty: all. */
  readonly positions: Int32Array;
  readonly key: number;
}
