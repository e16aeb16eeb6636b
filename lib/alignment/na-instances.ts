// NA-Instances (Yu et al. 2024, section 3.3): the training instances whose predictions rest on the same neurons as a query's.
// Turns two neuron attributions into an instance attribution. Pure; the counterpart is ia-neurons.ts.
import { AttributionError, expected } from "../errors";
import { integer, onlyKnown, oneOf } from "../options";
import { everyRow } from "../pacing";
import { requireNeuronAttribution } from "../results/require";
import { scoreRows, type ScoreLabels } from "../results/score-rows";
import { requireSelection, rowScores, type Selection } from "../results/top";
import { addQuery, blockInstances, ndcgScore, type NeuronList, noEntries, paperScore, scoreBlock } from "./list-scores";
import { alignedProvenance, dataHash, requireSameModel, requireSameUnits } from "./matching";
import { neuronRanker } from "./ranked-neurons";
import type { CallOptions } from "../../types/common";
import type { InstanceAttribution, NeuronAttribution } from "../../types/results";
import type { TopInstances } from "../../types/store";

export interface NaInstancesOptions extends CallOptions {
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
  /** Only the best so many training instances of each query; the full matrix is then never held. @default all */
  readonly topK?: number;
  /** Whether the two attributions may come from different models. @default "refuse" */
  readonly acrossModels?: "refuse" | "allow";
}

/**
 * Scores [query, train]: how high the query's top neurons stand in the training instance's ranking. By default NDCG within 0–1:
 * Σ over the query's top neurons u of s_q(u) / log2(rank_z(u) + 2), over the same sum in the query's own order. rank_z is the
 * 0-based rank of u among the training instance's listed neurons; neurons that are not listed add nothing. No shared neuron
 * scores 0, never NaN. Only neurons with a score above 0 are ranked. Positive: more shared neurons, standing higher.
 * With `topK` a TopInstances of each query's best. Source: Yu et al. 2024. Cost: one pass over all neuron scores, then a product
 * per query, neuron of its list and training instance that lists it; 1,000 × 100,000 over 1,024 units took 3 s of a busy core.
 * @example const byNeurons = await naInstances(queryNeurons, trainNeurons, { queryNeurons: 5 });
 */
export function naInstances(
  queryNeurons: NeuronAttribution,
  trainNeurons: NeuronAttribution,
  options: NaInstancesOptions & { readonly topK: number },
): Promise<TopInstances>;
export function naInstances(
  queryNeurons: NeuronAttribution,
  trainNeurons: NeuronAttribution,
  options?: NaInstancesOptions & { readonly topK?: undefined },
): Promise<InstanceAttribution>;
export function naInstances(
  queryNeurons: NeuronAttribution,
  trainNeurons: NeuronAttribution,
  options?: NaInstancesOptions,
): Promise<InstanceAttribution | TopInstances>;
export async function naInstances(
  queryNeurons: NeuronAttribution,
  trainNeurons: NeuronAttribution,
  options: NaInstancesOptions = {},
): Promise<InstanceAttribution | TopInstances> {
  const config = configOf(options);
  requireNeuronAttribution(queryNeurons, "queryNeurons");
  requireNeuronAttribution(trainNeurons, "trainNeurons");
  requireSameUnits(queryNeurons, trainNeurons);
  if (config.acrossModels === "refuse") requireSameModel(queryNeurons.provenance, trainNeurons.provenance);
  const isPaper = "preset" in config;
  const score = isPaper ? paperScore(config.quirks.includes("singleNeuronFirst")) : ndcgScore();
  const rows = scoreRows(labelsOf(queryNeurons, trainNeurons, config), config.topK);
  const { layers, units } = queryNeurons;
  const rankNeurons = neuronRanker(layers * units);
  const entries = noEntries(layers * units);
  await everyRow(queryNeurons.instances, "query neurons", options, (query) => {
    addQuery(entries, rankNeurons(rowScores(queryNeurons, query), { topK: config.queryNeurons }), score);
  });
  const { instances } = trainNeurons;
  const listOf = (at: number): NeuronList => rankNeurons(rowScores(trainNeurons, at), config.trainNeurons);
  const blocks = Math.ceil(instances / blockInstances);
  await everyRow(blocks, "NA-Instances", options, (block) => {
    const first = block * blockInstances;
    const count = Math.min(blockInstances, instances - first);
    return scoreBlock(entries, first, count, listOf, score, rows);
  });
  return rows.result();
}

function labelsOf(queryNeurons: NeuronAttribution, trainNeurons: NeuronAttribution, config: Config): ScoreLabels {
  const sources = { queryNeurons: queryNeurons.provenance, trainNeurons: trainNeurons.provenance };
  return {
    queryIds: queryNeurons.instanceIds,
    trainIds: trainNeurons.instanceIds,
    unit:
      "preset" in config
        ? "discounted gain of shared neurons, 2^z − 1 over log2(rank + 2); −∞ where none is shared"
        : "NDCG of the query's top neurons in the training instance's ranking, 0–1",
    provenance: alignedProvenance("naInstances", config, sources, trainNeurons.provenance, {
      queries: dataHash(queryNeurons.provenance, "queries"),
      train: dataHash(trainNeurons.provenance, "train"),
    }),
  };
}

type Config = ReturnType<typeof configOf>;

const optionNames = [
  "queryNeurons",
  "trainNeurons",
  "preset",
  "quirks",
  "topK",
  "acrossModels",
  "signal",
  "onProgress",
] as const satisfies readonly (keyof NaInstancesOptions)[];

function configOf(given: NaInstancesOptions) {
  const options = onlyKnown(given, optionNames);
  const preset = options["preset"] === undefined ? undefined : oneOf(options, "preset", "paper", ["paper"]);
  const quirks = (options["quirks"] ?? []) as readonly string[];
  if (!Array.isArray(quirks) || quirks.some((quirk) => quirk !== "singleNeuronFirst"))
    throw expected("quirks", 'a list of "singleNeuronFirst"', quirks);
  if (quirks.length > 0 && preset === undefined)
    throw new AttributionError("invalid", 'Expected "quirks" only with preset: "paper"; the default score has none');
  const trainNeurons = options["trainNeurons"] ?? (preset === undefined ? { topK: 100 } : { fractionOfMaximum: 0.1 });
  requireSelection(trainNeurons, "trainNeurons");
  return {
    queryNeurons: integer(options, "queryNeurons", 5, 1),
    trainNeurons,
    quirks,
    acrossModels: oneOf(options, "acrossModels", "refuse", ["refuse", "allow"]),
    ...(preset === undefined ? {} : { preset }),
    ...(options["topK"] === undefined ? {} : { topK: integer(options, "topK", 0, 1) }),
  };
}
