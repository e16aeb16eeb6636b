// How calls over instances are cut into batches.
import type { CallOptions } from "../../types/common";
import { integer } from "../options";

export interface BatchOptions extends CallOptions {
  /**
   * Tokens that a batch may hold. Rows are packed without padding (attention's padding is counted); a longer instance is a batch
   * of its own. Changes time and memory, never a result beyond rounding.
   * @default 4096
   */
  readonly batchTokens?: number;
}

/** Names that every batched call knows. */
export const batchOptionNames = ["signal", "onProgress", "batchTokens"] as const;

export function batchTokensOf(options: Readonly<Record<string, unknown>>): number {
  return integer(options, "batchTokens", 4096, 1);
}
