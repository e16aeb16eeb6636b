// Attributions made from plain numbers, for tests of everything that takes a result.
import type { InstanceAttribution, NeuronAttribution, Provenance } from "../../types/results";

export const provenanceOf = (method: string, modelHash = "model"): Provenance => ({
  method,
  options: { seed: 42 },
  modelHash,
  dataHashes: { train: "t", queries: "q", instances: "i" },
  versions: { attribution: "0.1.0", libtorch: "2.13.0" },
  dtype: "float32",
});

const named = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Rows of scores, [query][train]. */
export function instancesOf(
  rows: readonly (readonly number[])[],
  changes: Partial<InstanceAttribution> = {},
): InstanceAttribution {
  const train = rows[0]?.length ?? 0;
  return {
    kind: "instances",
    scores: Float32Array.from(rows.flat()),
    queries: rows.length,
    train,
    queryIds: named("q", rows.length),
    trainIds: named("t", train),
    unit: "test unit",
    provenance: provenanceOf("influence"),
    ...changes,
  };
}

/** Rows of scores, [instance][layer · units + unit]. */
export function neuronsOf(
  rows: readonly (readonly number[])[],
  layers: number,
  changes: Partial<NeuronAttribution> = {},
): NeuronAttribution {
  const units = (rows[0]?.length ?? 0) / layers;
  return {
    kind: "neurons",
    scores: Float32Array.from(rows.flat()),
    instances: rows.length,
    layers,
    units,
    site: "neurons",
    instanceIds: named("t", rows.length),
    targetValues: new Float64Array(rows.length).fill(0.5),
    targetLabels: new Int32Array(rows.length),
    completenessGap: new Float64Array(0),
    unit: "test unit",
    provenance: provenanceOf("integratedGradients"),
    ...changes,
  };
}
