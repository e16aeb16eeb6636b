// The option "layers".
import { expected } from "../../errors";

/** Increasing, distinct layers within the model; all without the option. */
export function layersOf(options: Readonly<Record<string, unknown>>, count: number): Int32Array {
  const value = options["layers"];
  if (value === undefined) return Int32Array.from({ length: count }, (_, i) => i);
  const words = `layers within 0–${count - 1}`;
  if (!Array.isArray(value) || value.length === 0) throw expected("layers", `a non-empty list of ${words}`, value);
  const layers = [...new Set(value as unknown[])].sort((a, b) => Number(a) - Number(b));
  for (const layer of layers) {
    if (typeof layer !== "number" || !Number.isInteger(layer) || layer < 0 || layer >= count)
      throw expected("layers", words, layer);
  }
  return Int32Array.from(layers as number[]);
}
