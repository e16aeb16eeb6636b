// The option "positions".
import type { Instances } from "../../types/data";
import { expected } from "../errors";

export type Positions = "readout" | "all" | readonly (readonly number[])[];

interface NativePositions {
  readonly positions: "readout" | "all" | "chosen";
  readonly chosenOffsets: Int32Array;
  readonly chosen: Int32Array;
}

export function positionsOf(options: Readonly<Record<string, unknown>>, instances: Instances): NativePositions {
  const value = options["positions"] ?? "readout";
  const none = { chosenOffsets: new Int32Array(0), chosen: new Int32Array(0) };
  if (value === "readout" || value === "all") return { positions: value, ...none };
  if (!Array.isArray(value) || value.length !== instances.size)
    throw expected(
      "positions",
      `"readout", "all" or a list of token positions for each of the ${instances.size} instances`,
      value,
    );
  const lists = value as readonly unknown[];
  const chosenOffsets = new Int32Array(lists.length + 1);
  const chosen: number[] = [];
  lists.forEach((list, i) => {
    const valid =
      Array.isArray(list) &&
      list.length > 0 &&
      (list as unknown[]).every((place) => Number.isInteger(place) && (place as number) >= 0);
    if (!valid) throw expected(`positions[${i}]`, "a non-empty list of token positions", list);
    chosen.push(...new Set(list as number[]));
    chosenOffsets[i + 1] = chosen.length;
  });
  return { positions: "chosen", chosenOffsets, chosen: Int32Array.from(chosen) };
}

export function shownPositions(options: Readonly<Record<string, unknown>>): { positions: unknown } {
  return { positions: options["positions"] ?? "readout" };
}
