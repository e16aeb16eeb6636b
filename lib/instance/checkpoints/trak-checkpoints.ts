// TRAK over several checkpoints (Park et al. 2023, where they are an ensemble of models): the kernel and the weights are averaged apart.
import type { Instances } from "../../../types/data";
import type { InstanceAttribution } from "../../../types/results";
import type { GradientStore } from "../../../types/store";
import { AttributionError } from "../../errors";
import { batchOptionNames } from "../../model/batching";
import { onlyKnown } from "../../options";
import {
  type Checkpoint,
  checkpointAttribution,
  checkpointOptionNames,
  type CheckpointOptions,
  type CheckpointPart,
  storesOf,
  sumOverCheckpoints,
} from "./checkpoints";
import { doubtsOf } from "../store/native-store";
import { projectionOptionNames } from "../store/options";
import { type ProjectedOptions, withTemporaryStore } from "../store/source";
import { trak } from "../trak";

export interface TrakCheckpointsOptions extends Omit<ProjectedOptions, "similarity" | "topK">, CheckpointOptions {}

/**
 * score(q, z) = mean_c (1 − p_z,c) · mean_c φ_qᵀ (ΦᵀΦ + λI)⁻¹ φ_z over checkpoints c, each term as in trak. The checkpoints may be epochs
 * of one run or runs of several seeds. Positive: a proponent. Unit: log-odds of the query.
 * `train`: instances, whose features are computed for this call, or one store per checkpoint. Cost: checkpoints × that of trak.
 * @returns scores [query, train]
 * @example const ia = await trakCheckpoints(["run/epoch-1", "run/epoch-2"], train, queries, { rank: 8 });
 */
export async function trakCheckpoints(
  checkpoints: readonly Checkpoint[],
  train: Instances | readonly GradientStore[],
  queries: Instances,
  options: TrakCheckpointsOptions = {},
): Promise<InstanceAttribution> {
  const given = onlyKnown(options, [
    ...batchOptionNames,
    ...projectionOptionNames,
    ...checkpointOptionNames,
    "damping",
    "memory",
  ]);
  const stores = storesOf(checkpoints, train);
  const projection = Object.fromEntries(
    projectionOptionNames.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]),
  );
  const [own] = Object.keys(projection);
  if (stores !== undefined && own !== undefined)
    throw new AttributionError(
      "invalid",
      `"${own}" is the stores': leave it out, or give training instances instead of stores`,
    );
  const { damping, memory } = options;
  let doubts = new Float64Array(0); // [train] mean over checkpoints of 1 − p
  const sum = await sumOverCheckpoints(checkpoints, options, ({ model, call }, index) => {
    const score = async (store: GradientStore): Promise<CheckpointPart> => {
      const attribution = await trak(model, store, queries, { damping, memory, ...call });
      const own = await doubtsOf(store);
      doubts = Float64Array.from(own, (doubt, z) => (index === 0 ? 0 : doubts[z]) + doubt / checkpoints.length);
      return {
        attribution,
        scores: attribution.scores.map((score, i) => score / own[i % own.length]),
        weight: 1 / checkpoints.length,
      };
    };
    return stores === undefined
      ? withTemporaryStore(model, train as Instances, { ...projection, ...call }, score)
      : score(stores[index]);
  });
  return checkpointAttribution(
    "trakCheckpoints",
    sum,
    sum.scores.map((kernel, i) => kernel * doubts[i % doubts.length]),
    {
      unit: sum.attribution.unit,
      options: { ...sum.attribution.provenance.options, checkpoints: checkpoints.length },
    },
  );
}
