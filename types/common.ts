/** Progress of a long call: `done` of `total` units of the named stage. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly stage: string;
  /** Where the call measures it: throughput so far, and the time that the rest of the stage will take. */
  readonly tokensPerSecond?: number;
  readonly secondsLeft?: number;
}

/** What every long call takes beside its own options. */
export interface CallOptions {
  /** Stops the call within one batch; it then rejects with code "aborted". */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** The stable vocabulary of error codes. */
export type ErrorCode =
  | "invalid" | "unknown" | "missing" | "unsupported" | "mismatch" | "corrupt" | "aborted" | "memory" | "native";
