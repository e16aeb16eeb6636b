// Whether two results may be aligned: the same instances in the same order, the same units, the same model.
import { AttributionError, shown } from "../errors";
import { isSameModel } from "../provenance";
import type { InstanceAttribution, NeuronAttribution, Provenance } from "../../types/results";

/** "mismatch" unless the rows of `trainNeurons` are the columns of the instance attribution, in the same order. */
export function requireSameTrain(
  { trainIds }: Pick<InstanceAttribution, "trainIds">,
  { instanceIds }: NeuronAttribution,
): void {
  if (trainIds.length !== instanceIds.length) {
    throw new AttributionError(
      "mismatch",
      `Expected the neuron attribution of all ${trainIds.length} training instances but received ${instanceIds.length} rows. Attribute the neurons of the same training instances`,
    );
  }
  const at = trainIds.findIndex((id, index) => id !== instanceIds[index]);
  if (at >= 0) {
    throw new AttributionError(
      "mismatch",
      `Expected row ${at} of the neuron attribution to be the training instance ${shown(trainIds[at])} but it is ${shown(instanceIds[at])}. Give both the same training instances in the same order`,
    );
  }
}

/** "mismatch" unless both speak of the same units. */
export function requireSameUnits(a: NeuronAttribution, b: NeuronAttribution): void {
  if (a.site !== b.site || a.layers !== b.layers || a.units !== b.units) {
    throw new AttributionError(
      "mismatch",
      `Expected neuron attributions of the same units but received ${described(a)} and ${described(b)}`,
    );
  }
}

function described({ site, layers, units }: NeuronAttribution): string {
  return `${layers} layers of ${units} ${site}`;
}

/** "mismatch" where two models made them; results without a model (BM25, random) go with any. */
export function requireSameModel(a: Provenance, b: Provenance): void {
  if (isSameModel(a.modelHash, b.modelHash)) return;
  throw new AttributionError(
    "mismatch",
    `Expected attributions of one model but "${a.method}" is of ${a.modelHash.slice(0, 12)} and "${b.method}" of ${b.modelHash.slice(0, 12)}. To align across models set acrossModels: "allow"`,
  );
}

/** What an aligned result says of where it comes from: its own method and options, and the provenance of both sources. */
export function alignedProvenance(
  method: string,
  options: Readonly<Record<string, unknown>>,
  sources: Readonly<Record<string, Provenance>>,
  neurons: Provenance,
  dataHashes: Readonly<Record<string, string>>,
): Provenance {
  return Object.freeze({
    ...neurons,
    method,
    options: Object.freeze({ ...options, sources }),
    dataHashes: Object.freeze(dataHashes),
  });
}

/** The hash of the named role, or of "instances" where the result has only those. */
export function dataHash({ dataHashes }: Provenance, role: string): string {
  return dataHashes[role] ?? dataHashes["instances"] ?? "";
}
