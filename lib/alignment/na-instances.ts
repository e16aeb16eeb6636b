// NA-Instances (Yu et al. 2024, section 3.3): the training instances whose predictions rest on the same neurons as a query's.
// Turns two neuron attributions into an instance attribution. Pure; the counterpart is ia-neurons.ts.
import { AttributionError, expected } from "../errors";
import { integer, onlyKnown, oneOf } from "../options";
import { requireNeuronAttribution } from "../results/require";
import { rowScores, selectIndices, type Selection } from "../results/top";
import { alignedProvenance, dataHash, requireSameModel, requireSameUnits } from "./matching";
import { ndcgScores, paperScores, type NeuronLists } from "./list-scores";
import type { InstanceAttribution, NeuronAttribution } from "../../types/results";

export interface NaInstancesOptions {
  /** Highest-scoring neurons of a query that count. @default 5 */
  readonly queryNeurons?: number;
  /**
   * Ranked neurons of a training instance in which they are looked up: the best `topK`, those above a fraction of the
   * instance's maximum, or all with a score above 0. @default { topK: 100 }; preset "paper": { fractionOfMaximum: 0.1 }
   */
  readonly trainNeurons?: Selection;
  /**
   * The paper's score: gain 2^z − 1, z the z-score of the neuron among the training instance's listed scores, discount
   * log2(rank + 2), summed over the shared neurons; −∞ for none shared. @default none (NDCG)
   */
  readonly preset?: "paper";
  /**
   * What the released scripts get wrong, on request and with the preset only. "singleNeuronFirst": an instance whose list holds
   * one neuron has no z-score and ranks first (+∞) where it shares that neuron; otherwise its z-score is 0. @default []
   */
  readonly quirks?: readonly "singleNeuronFirst"[];
  /** Whether the two attributions may come from different models. @default "refuse" */
  readonly acrossModels?: "refuse" | "allow";
}

/**
 * Scores [query, train]: how high the query's top neurons stand in the training instance's ranking. By default NDCG within 0–1:
 * Σ over the query's top neurons u of s_q(u) / log2(rank_z(u) + 2), over the same sum in the query's own order; rank_z is the
 * 0-based place of u in the training instance's ranked neurons, and neurons that do not stand there add nothing. No shared
 * neuron scores 0, never NaN. Only neurons with a score above 0 are ranked. Positive: more shared neurons, standing higher.
 * Cost: a pass over all neuron scores, then per query the training instances that list one of its neurons.
 * @example const byNeurons = naInstances(queryNeurons, trainNeurons, { queryNeurons: 5 });
 */
export function naInstances(
  queryNeurons: NeuronAttribution,
  trainNeurons: NeuronAttribution,
  options?: NaInstancesOptions,
): InstanceAttribution {
  const settings = settingsOf(options);
  requireNeuronAttribution(queryNeurons, "queryNeurons");
  requireNeuronAttribution(trainNeurons, "trainNeurons");
  requireSameUnits(queryNeurons, trainNeurons);
  if (settings.acrossModels === "refuse") requireSameModel(queryNeurons.provenance, trainNeurons.provenance);
  const queryLists = listsOf(queryNeurons, { topK: settings.queryNeurons });
  const trainLists = listsOf(trainNeurons, settings.trainNeurons);
  const isPaper = "preset" in settings;
  const scores = isPaper
    ? paperScores(queryLists, trainLists, settings.quirks.includes("singleNeuronFirst"))
    : ndcgScores(queryLists, trainLists);
  return Object.freeze({
    kind: "instances",
    scores,
    queries: queryNeurons.instances,
    train: trainNeurons.instances,
    queryIds: queryNeurons.instanceIds,
    trainIds: trainNeurons.instanceIds,
    unit: isPaper
      ? "discounted gain of shared neurons, 2^z − 1 over log2(rank + 2); −∞ where none is shared"
      : "NDCG of the query's top neurons in the training instance's ranking, 0–1",
    provenance: alignedProvenance(
      "naInstances",
      settings,
      { queryNeurons: queryNeurons.provenance, trainNeurons: trainNeurons.provenance },
      trainNeurons.provenance,
      { queries: dataHash(queryNeurons.provenance, "queries"), train: dataHash(trainNeurons.provenance, "train") },
    ),
  });
}

function settingsOf(given: NaInstancesOptions | undefined) {
  const options = onlyKnown(given, ["queryNeurons", "trainNeurons", "preset", "quirks", "acrossModels"]);
  const preset = options["preset"] === undefined ? undefined : oneOf(options, "preset", "paper", ["paper"]);
  const quirks = (options["quirks"] ?? []) as readonly string[];
  if (!Array.isArray(quirks) || quirks.some((quirk) => quirk !== "singleNeuronFirst"))
    throw expected("quirks", 'a list of "singleNeuronFirst"', quirks);
  if (quirks.length > 0 && preset === undefined)
    throw new AttributionError("invalid", 'Expected "quirks" only with preset: "paper"; the default score has none');
  return {
    queryNeurons: integer(options, "queryNeurons", 5, 1),
    trainNeurons: (options["trainNeurons"] ??
      (preset === undefined ? { topK: 100 } : { fractionOfMaximum: 0.1 })) as Selection,
    quirks,
    acrossModels: oneOf(options, "acrossModels", "refuse", ["refuse", "allow"]),
    ...(preset === undefined ? {} : { preset }),
  };
}

/** The ranked neurons of each instance, scores above 0 only. */
function listsOf(attribution: NeuronAttribution, selection: Selection): NeuronLists {
  if (typeof selection !== "object" || selection === null)
    throw expected("trainNeurons", '{ keep: "all" }, { topK } or { fractionOfMaximum }', selection);
  const neurons: Int32Array[] = [];
  const scores: Float32Array[] = [];
  for (let instance = 0; instance < attribution.instances; instance++) {
    const row = rowScores(attribution, instance);
    const selected = selectIndices(row, selection);
    const positive = selected.findIndex((neuron) => !(row[neuron] > 0));
    const kept = positive < 0 ? selected : selected.slice(0, positive);
    neurons.push(kept);
    scores.push(Float32Array.from(kept, (neuron) => row[neuron]));
  }
  return { neurons, scores, allNeurons: attribution.layers * attribution.units };
}
