// Baseline: how alike the readout hidden states of query and training instance are.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import { pacedBy } from "../pacing";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { readoutStates } from "../model/capture";
import { checkFit } from "../model/fit";
import { instanceAttribution } from "./gradients/features";

/**
 * score(q, z) = cosine of the readout hidden states (after the final norm), within −1–1; of a listwise instance the mean state of
 * its rows. Looks at no label: a baseline that every comparison carries. Cost: one forward per instance.
 * @returns scores [query, train]
 * @example const byStates = await representationSimilarity(model, train, queries);
 */
export async function representationSimilarity(
  model: Model,
  train: Instances,
  queries: Instances,
  options?: BatchOptions,
): Promise<InstanceAttribution> {
  onlyKnown(options, batchOptionNames);
  checkFit(model, train, "train");
  checkFit(model, queries, "queries");
  const pace = pacedBy(options?.signal);
  const trainStates = directions(await readoutStates(model, train, options), train);
  const queryStates = directions(await readoutStates(model, queries, options), queries);
  const scores = new Float32Array(queries.size * train.size); // [query, train]
  for (let q = 0; q < queries.size; q++) {
    const query = queryStates[q];
    for (let z = 0; z < train.size; z++) {
      scores[q * train.size + z] = dot(query, trainStates[z]);
      if ((z & 1023) === 1023) await pace();
    }
    await pace();
  }
  return instanceAttribution({
    method: "representationSimilarity",
    model,
    train,
    queries,
    scores,
    unit: "cosine of readout states, −1–1",
    options: {},
  });
}

/** Unit vectors of the instances' mean states; a zero state stays zero. */
function directions(states: Float32Array, instances: Instances): Float64Array[] {
  const width = states.length / (instances.rowOffsets.length - 1);
  return Array.from({ length: instances.size }, (_, i) => {
    const mean = new Float64Array(width);
    for (let row = instances.groupOffsets[i]; row < instances.groupOffsets[i + 1]; row++) {
      for (let k = 0; k < width; k++) mean[k] += states[row * width + k];
    }
    const norm = Math.sqrt(dot(mean, mean));
    return norm === 0 ? mean : mean.map((value) => value / norm);
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
