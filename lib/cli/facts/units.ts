// Units of both sites as the demo counts them: layer · (neurons + heads) + unit, a layer's neurons before its heads.
import { sampleWithout, type Random } from "../../random";
import type { Architecture } from "../../../types/architecture";
import type { NeuronAttribution } from "../../../types/results";

type Shape = Pick<Architecture, "intermediate" | "heads">;

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

/** E.g. "layer 21 neuron 804". */
export function unitName({ site, layer, unit }: PlacedUnit): string {
  return `layer ${layer} ${site === "heads" ? "head" : "neuron"} ${unit}`;
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

/** One site's scores of an attribution of both. */
export function siteOf(both: NeuronAttribution, shape: Shape, site: "neurons" | "heads"): NeuronAttribution {
  const [from, units] = site === "neurons" ? [0, shape.intermediate] : [shape.intermediate, shape.heads];
  const rows = both.instances * both.layers;
  const scores = new Float32Array(rows * units);
  for (let row = 0; row < rows; row++)
    scores.set(both.scores.subarray(row * both.units + from, row * both.units + from + units), row * units);
  return { ...both, scores, units, site };
}

/** Some rows of an attribution. */
export function rowsOf(attribution: NeuronAttribution, rows: readonly number[]): NeuronAttribution {
  const width = attribution.layers * attribution.units;
  const scores = new Float32Array(rows.length * width);
  rows.forEach((row, at) => scores.set(attribution.scores.subarray(row * width, (row + 1) * width), at * width));
  return {
    ...attribution,
    scores,
    instances: rows.length,
    instanceIds: rows.map((row) => attribution.instanceIds[row]),
    targetValues: Float64Array.from(rows, (row) => attribution.targetValues[row]),
    targetLabels: Int32Array.from(rows, (row) => attribution.targetLabels[row]),
    completenessGap: new Float64Array(0),
  };
}
