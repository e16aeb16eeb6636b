// IA-Neurons (Yu et al. 2024, section 3.3): the neurons of a prediction's most influential training instances. Turns an instance
// attribution into a neuron attribution. Pure; the counterpart is na-instances.ts.
import { integer, onlyKnown, oneOf } from "../options";
import { everyRow } from "../pacing";
import { topIndices } from "../results/ranking";
import { requireInstanceScores, requireNeuronAttribution } from "../results/require";
import { bestInstances, rowScores, scoresAt } from "../results/top";
import { alignedProvenance, dataHash, requireSameModel, requireSameTrain } from "./matching";
import type { CallOptions } from "../../types/common";
import type { NeuronAttribution } from "../../types/results";
import type { InstanceScores } from "../../types/store";

export interface IaNeuronsOptions extends CallOptions {
  /** Most influential training instances that count. @default 10 */
  readonly instances?: number;
  /** Highest-scoring neurons of each that count. @default 5 */
  readonly neurons?: number;
  /** Multiplies the neuron scores of an instance by its attribution score ("influence"; by 0 below 0), or by 1 ("equal"). @default "equal" */
  readonly weighting?: "equal" | "influence";
  /**
   * The paper's numbers, by `purpose`: for faithfulness the top neuron of each of the top 100 instances, for comparison the top
   * neuron of the top instance. @default none
   */
  readonly preset?: "paper";
  /** What the preset is for; without a preset it changes nothing. @default "comparison" */
  readonly purpose?: "faithfulness" | "comparison";
  /** Whether the two attributions may come from different models. @default "refuse" */
  readonly acrossModels?: "refuse" | "allow";
}

const paper = { faithfulness: { instances: 100, neurons: 1 }, comparison: { instances: 1, neurons: 1 } };

/**
 * The neurons of each query's most influential training instances: Σ over its top `instances` z of the scores of z's top
 * `neurons`, per neuron. Scores [query, layer, unit], in the unit of the neuron scores; 0 for neurons that were not chosen.
 * Every neuron counts once however many instances share it (its scores add up), and only scores above 0 are taken: a neuron that
 * lowers the target of a training instance does not carry it. `trainNeurons` has one row per training instance, in the order of
 * the attribution ("mismatch" otherwise). Cost: a pass over each query's row and each chosen instance's neurons.
 * @example const aligned = await iaNeurons(influences, trainNeurons, { instances: 10, neurons: 5 });
 */
export async function iaNeurons(
  instanceAttribution: InstanceScores,
  trainNeurons: NeuronAttribution,
  options: IaNeuronsOptions = {},
): Promise<NeuronAttribution> {
  const config = configOf(options);
  requireInstanceScores(instanceAttribution, "instanceAttribution");
  requireNeuronAttribution(trainNeurons, "trainNeurons");
  requireSameTrain(instanceAttribution, trainNeurons);
  if (config.acrossModels === "refuse") requireSameModel(instanceAttribution.provenance, trainNeurons.provenance);
  const { queries } = instanceAttribution;
  const { layers, units } = trainNeurons;
  const scores = new Float32Array(queries * layers * units); // [query, layer, unit]
  const neuronsOf = chosenNeurons(trainNeurons, config.neurons);
  await everyRow(queries, "IA-Neurons", options, function* (query) {
    const row = scores.subarray(query * layers * units, (query + 1) * layers * units);
    const best = bestInstances(instanceAttribution, query, config.instances);
    const influences = scoresAt(instanceAttribution, query, best);
    for (let at = 0; at < best.length; at++, yield) {
      const weight = config.weighting === "equal" ? 1 : Math.max(0, influences[at]);
      addNeurons(row, rowScores(trainNeurons, best[at]), neuronsOf(best[at]), weight);
    }
  });
  return Object.freeze({
    kind: "neurons",
    scores,
    instances: queries,
    layers,
    units,
    site: trainNeurons.site,
    instanceIds: instanceAttribution.queryIds,
    targetValues: new Float64Array(queries).fill(NaN),
    targetLabels: new Int32Array(queries).fill(-1),
    completenessGap: new Float64Array(0),
    unit: `sum over training instances of: ${trainNeurons.unit}`,
    provenance: alignedProvenance(
      "iaNeurons",
      config,
      { instanceAttribution: instanceAttribution.provenance, trainNeurons: trainNeurons.provenance },
      trainNeurons.provenance,
      {
        queries: dataHash(instanceAttribution.provenance, "queries"),
        train: dataHash(trainNeurons.provenance, "train"),
      },
    ),
  });
}

const optionNames = [
  "instances",
  "neurons",
  "weighting",
  "preset",
  "purpose",
  "acrossModels",
  "signal",
  "onProgress",
] as const satisfies readonly (keyof IaNeuronsOptions)[];

function configOf(given: IaNeuronsOptions) {
  const options = onlyKnown(given, optionNames);
  const purpose = oneOf(options, "purpose", "comparison", ["faithfulness", "comparison"]);
  const preset = options["preset"] === undefined ? undefined : oneOf(options, "preset", "paper", ["paper"]);
  const defaults = preset === undefined ? { instances: 10, neurons: 5 } : paper[purpose];
  return {
    instances: integer(options, "instances", defaults.instances, 1),
    neurons: integer(options, "neurons", defaults.neurons, 1),
    weighting: oneOf(options, "weighting", "equal", ["equal", "influence"]),
    acrossModels: oneOf(options, "acrossModels", "refuse", ["refuse", "allow"]),
    ...(preset === undefined ? {} : { preset, purpose }),
  };
}

/** Finds the top neurons of a training instance, once, however many queries choose it. */
function chosenNeurons(trainNeurons: NeuronAttribution, count: number): (instance: number) => Int32Array {
  const known = new Map<number, Int32Array>();
  return (instance) => {
    const found = known.get(instance) ?? topIndices(rowScores(trainNeurons, instance), count);
    known.set(instance, found);
    return found;
  };
}

function addNeurons(row: Float32Array, scores: Float32Array, neurons: Int32Array, weight: number): void {
  for (const neuron of neurons) if (scores[neuron] > 0) row[neuron] += weight * scores[neuron];
}
