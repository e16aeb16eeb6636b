// Joint attribution's request to the addon and its answer.

/** Pairs as in NativeParts, none twice; `kept` units of each. With `sumsOnly` no pairs, and the sums over all of them. */
export interface NativeJointRequest {
  readonly sources: Int32Array;
  readonly targets: Int32Array;
  readonly kept: number;
  /** This unit of each pair instead of the largest, or −1. */
  readonly only: number;
  readonly sumsOnly: boolean;
}

export interface NativeJoint {
  /** [pair] */
  readonly scores: Float64Array;
  readonly others: Float64Array;
  readonly rest: Float64Array;
  /** [pair, kept] the units of the largest magnitude. */
  readonly indices: Int32Array;
  readonly parts: Float64Array;
  /** [source, unit], [source] */
  readonly sums: Float64Array;
  readonly restSums: Float64Array;
}
