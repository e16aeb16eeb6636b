// Units of both sites by number, layer · (neurons + heads) + unit, a layer's neurons before its heads; and random others like them.
import type { Architecture } from "../../types/architecture";
import { sampleWithout, type Random } from "../random";

export type Shape = Pick<Architecture, "intermediate" | "heads">;

export interface PlacedUnit {
  readonly site: "neurons" | "heads";
  readonly layer: number;
  readonly unit: number;
}

export function placeOf({ intermediate, heads }: Shape, index: number): PlacedUnit {
  const each = intermediate + heads;
  const [layer, unit] = [Math.floor(index / each), index % each];
  return unit < intermediate ? { site: "neurons", layer, unit } : { site: "heads", layer, unit: unit - intermediate };
}

/** As many other units of the same layers at random, neurons for neurons and heads for heads; with none left over, the chosen ones again. */
export function randomLike(shape: Shape, chosen: ArrayLike<number>, random: Random): Int32Array {
  const each = shape.intermediate + shape.heads;
  const groups = new Map<string, { first: number; size: number; own: Set<number> }>();
  for (const index of Array.from(chosen)) {
    const { site, layer } = placeOf(shape, index);
    const key = `${site} ${layer}`;
    const first = layer * each + (site === "heads" ? shape.intermediate : 0);
    const group = groups.get(key) ?? {
      first,
      size: site === "heads" ? shape.heads : shape.intermediate,
      own: new Set(),
    };
    group.own.add(index - first);
    groups.set(key, group);
  }
  return Int32Array.from(
    [...groups.values()].flatMap(({ first, size, own }) => {
      const others = Array.from({ length: size }, (_, unit) => unit).filter((unit) => !own.has(unit));
      const pool = others.length >= own.size ? others : Array.from({ length: size }, (_, unit) => unit);
      return Array.from(sampleWithout(pool.length, own.size, random), (at) => first + pool[at]);
    }),
  );
}
