// What every container yields: the list of its tensors (name, type, shape, place in a file), with sizes checked.
// A container knows nothing of families; a family picks from the list and refuses what the native core cannot read.
import { AttributionError } from "../errors";
import type { StoredTensor, StoredType } from "../../types/architecture";

/** A tensor as its container lists it. `dtype` may be one that no weight can have (integers, booleans). */
export interface ListedTensor extends Omit<StoredTensor, "dtype"> {
  readonly dtype: string;
}

/** Bytes of one element, by safetensors' names. */
export const elementBytes: ReadonlyMap<string, number> = new Map([
  ["F64", 8],
  ["F32", 4],
  ["F16", 2],
  ["BF16", 2],
  ["F8_E4M3", 1],
  ["F8_E5M2", 1],
  ["I64", 8],
  ["U64", 8],
  ["I32", 4],
  ["U32", 4],
  ["I16", 2],
  ["U16", 2],
  ["I8", 1],
  ["U8", 1],
  ["BOOL", 1],
  ["C64", 8],
  ["C128", 16],
]);

/** What the native core can turn into weights. */
export const readableTypes: ReadonlySet<string> = new Set<StoredType>([
  "F64",
  "F32",
  "F16",
  "BF16",
  "Q8_0",
  "Q4_0",
  "Q4_1",
  "Q5_0",
  "Q5_1",
  "Q4_K",
  "Q5_K",
  "Q6_K",
]);

const mostDimensions = 8;

export function corrupt(file: string, words: string, cause?: unknown): AttributionError {
  return new AttributionError("corrupt", `${file}: ${words}. The file is damaged or not what it claims to be`, {
    cause,
  });
}

/** Product of the sizes, or undefined where it exceeds what a number can count. */
export function elementsOf(shape: readonly number[]): number | undefined {
  let product = 1;
  for (const size of shape) product *= size;
  return Number.isSafeInteger(product) ? product : undefined;
}

/** Refuses sizes that are no list of whole numbers. */
export function shapeOf(file: string, name: string, value: unknown): number[] {
  const isSize = (size: unknown) => typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  if (!Array.isArray(value) || value.length > mostDimensions || !value.every(isSize)) {
    throw corrupt(file, `expected the shape of "${name}" to be at most ${mostDimensions} whole numbers`);
  }
  return value as number[];
}
