import type { Architecture, ComputeType, Device } from "./architecture";
import type { Tokenizer } from "./data";

/** Where a model was fetched from. */
export interface ModelSource {
  /** The id on the hub. */
  readonly id: string;
  /** The commit, of 40 hexadecimal digits. */
  readonly revision: string;
}

/** A loaded language model. Owns native memory: `close()` it, or write `using model = await loadModel(...)`. */
export interface Model {
  readonly architecture: Architecture;
  /** The checkpoint's config.json (or its equivalent), as `saveModel` writes it back. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tokenizer: Tokenizer;
  /** Class names of a classification head, else empty. */
  readonly labels: readonly string[];
  readonly dtype: ComputeType;
  readonly device: Device;
  readonly parameters: number;
  /** Fingerprint of weights and architecture, hexadecimal. */
  readonly hash: string;
  /** Absent where the model was not loaded by a hub id, or was tuned since. */
  readonly source?: ModelSource;
  readonly closed: boolean;
  close(): void;
  [Symbol.dispose](): void;
}
