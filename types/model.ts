import type { Architecture, ComputeType, Device } from "./architecture";
import type { Tokenizer } from "./data";

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
  readonly closed: boolean;
  close(): void;
  [Symbol.dispose](): void;
}
