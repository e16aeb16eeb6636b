// Units of both sites as the demo counts them: layer · (neurons + heads) + unit, a layer's neurons before its heads.
import type { PlacedUnit, Shape } from "../../neuron/random-units";
import type { NeuronAttribution } from "../../../types/results";

/** E.g. "layer 21 neuron 804". */
export function unitName({ site, layer, unit }: PlacedUnit): string {
  return `layer ${layer} ${site === "heads" ? "head" : "neuron"} ${unit}`;
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
