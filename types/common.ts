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
  /** A listener that throws, or whose promise rejects, stops the call, which then rejects with the same. */
  readonly onProgress?: (progress: Progress) => unknown;
}

/**
 * The stable vocabulary of error codes. "invalid": an argument is not what it must be. "unknown": a name (option, model family, module)
 * that there is none of. "missing": a file, an option or a value that the call needs is not there. "unsupported": asked for rightly, but
 * this version cannot. "mismatch": two arguments, each right, do not belong together. "corrupt": a file is damaged. "aborted": by its
 * signal. "memory": the budget, the machine's memory or the disk is too small. "native": anything else that the core or libtorch says.
 * "network": the hub cannot be reached, or does not answer as a hub does. "denied": the hub gives this only to others, or by a token.
 */
export type ErrorCode =
  | "invalid"
  | "unknown"
  | "missing"
  | "unsupported"
  | "mismatch"
  | "corrupt"
  | "aborted"
  | "memory"
  | "native"
  | "network"
  | "denied";
