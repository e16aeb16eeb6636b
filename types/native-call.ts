// What every job of the addon takes.

/** An opaque handle on a model's weights. */
export type NativeModel = object & { readonly brand?: "NativeModel" };

/** `abort[0] = 1` stops the job at its next batch. */
export interface NativeControl {
  readonly abort: Uint8Array;
  readonly progress?: (done: number, total: number, stage: string) => void;
}

// The addon's surface of neuron attribution, and what all of the surface shares: instances, budgets, targets. See native.ts.
export interface NativeInstances {
  readonly tokens: Int32Array;
  readonly rowOffsets: Int32Array;
  readonly groupOffsets: Int32Array;
  readonly labels: Int32Array;
  readonly targets: Int32Array;
}

/** Tokens a batch may hold, attention's padding counted; a longer instance is a batch of its own. */
export interface NativeBatching {
  readonly batchTokens: number;
}

/** What a call may take beside the model and its caches, in bytes. */
export interface NativeBudget extends NativeBatching {
  readonly memoryBytes: number;
}

export type NativeSite = "neurons" | "heads" | "preActivation";
