// The exact influence of a training run: the addon's request and answer.

export interface NativeReplayParams {
  readonly memoryBytes: number;
  /** A causal LM's loss of a query. */
  readonly reduction: "sum" | "mean";
  readonly metasmoothness: boolean;
  readonly smoothnessStep: number;
  readonly seed: number;
}

export interface NativeReplay {
  /** Of the trained model. */
  readonly hash: string;
  /** [query, train] minus the derivative of the query's loss by the instance's weight. */
  readonly scores: Float64Array;
  /** [query], [step] */
  readonly queryLosses: Float64Array;
  readonly losses: Float64Array;
  /** NaN where it was not taken. */
  readonly metasmoothness: number;
  /** Of the run and its replays. */
  readonly stepsMade: number;
}
