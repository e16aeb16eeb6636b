// The tokens of one instance, for methods that look at words and not at a model.
import type { Instances } from "../../types/data";

/** All tokens of an instance, its rows (the choices of a listwise one) one after the other. A view. */
export function instanceTokens({ tokens, rowOffsets, groupOffsets }: Instances, index: number): Int32Array {
  return tokens.subarray(rowOffsets[groupOffsets[index]], rowOffsets[groupOffsets[index + 1]]);
}
