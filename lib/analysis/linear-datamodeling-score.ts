// Do summed scores predict what models tuned on other training sets say? Outputs of such models come from subsetOutputs and
// leaveOneOutOutputs (lib/faithfulness); nothing here touches a model.
import { AttributionError } from "../errors";
import { integer, onlyKnown } from "../options";
import { everyRow, pacedBy } from "../pacing";
import { requireInstanceAttribution, requireOutputs } from "../results/require";
import { rowScores } from "../results/top";
import { pacedBootstrapMean, spearman } from "../statistics";
import type { RankAgreement, SubsetOutputs } from "../../types/analysis";
import type { CallOptions } from "../../types/common";
import type { InstanceAttribution } from "../../types/results";

export interface AgreementOptions extends CallOptions {
  /** Of the bootstrap interval. @default 42 */
  readonly seed?: number;
}

/**
 * Linear datamodeling score (Park et al. 2023): per query Spearman's correlation, over subsets, of Σ scores of the subset's instances
 * with the measured output of the models tuned on it. 1: the scores order all subsets rightly; 0: chance. Cost: subsets × train × queries.
 * @example (await linearDatamodelingScore(influences, await subsetOutputs(base, train, queries, { subsets: 40 }))).mean
 */
export function linearDatamodelingScore(
  attribution: InstanceAttribution,
  outputs: SubsetOutputs,
  options?: AgreementOptions,
): Promise<RankAgreement> {
  return agreement(attribution, outputs, options, (scores, mask) => {
    let sum = 0;
    for (let i = 0; i < scores.length; i++) if (mask[i] === 1) sum += scores[i];
    return sum;
  });
}

/**
 * Leave-one-out correlation: the same with models that each lack one training instance (or a few), which moves less and so needs
 * more seeds. Predicted: minus the scores of what is left out, so that both rise with the query's output.
 * @example (await leaveOneOutCorrelation(influences, await leaveOneOutOutputs(base, train, queries, { leaveOut: [0, 1] }))).mean
 */
export function leaveOneOutCorrelation(
  attribution: InstanceAttribution,
  outputs: SubsetOutputs,
  options?: AgreementOptions,
): Promise<RankAgreement> {
  return agreement(attribution, outputs, options, (scores, mask) => {
    let sum = 0;
    for (let i = 0; i < scores.length; i++) if (mask[i] === 0) sum -= scores[i];
    return sum;
  });
}

async function agreement(
  attribution: InstanceAttribution,
  outputs: SubsetOutputs,
  options: AgreementOptions = {},
  predict: (scores: Float32Array, mask: Uint8Array) => number,
): Promise<RankAgreement> {
  const seed = integer(onlyKnown(options, ["seed", "signal", "onProgress"]), "seed", 42, 0);
  requireInstanceAttribution(attribution, "attribution");
  requireOutputs(outputs, "outputs");
  const { subsets, train, queries, masks, values } = outputs;
  const isSame =
    attribution.train === train &&
    attribution.queries === queries &&
    outputs.trainIds.every((id, i) => id === attribution.trainIds[i]) &&
    outputs.queryIds.every((id, i) => id === attribution.queryIds[i]);
  if (!isSame)
    throw new AttributionError(
      "mismatch",
      `The attribution is of ${attribution.queries} queries and ${attribution.train} training instances, the outputs of ${queries} and ${train}: both must have the same ids in the same order`,
    );
  if (subsets < 3)
    throw new AttributionError("invalid", `Expected the outputs of at least 3 subsets but received ${subsets}`);
  const perQuery = new Float64Array(queries);
  await everyRow(queries, "rank agreement", options, function* (query) {
    const scores = rowScores(attribution, query);
    const predicted = new Float64Array(subsets);
    for (let subset = 0; subset < subsets; subset++, yield)
      predicted[subset] = predict(scores, masks.subarray(subset * train, (subset + 1) * train));
    perQuery[query] = agreementOf(
      predicted,
      predicted.map((_, subset) => values[subset * queries + query]),
    );
  });
  const known = perQuery.filter((value) => !Number.isNaN(value));
  if (known.length === 0)
    throw new AttributionError("invalid", "The measured outputs vary for no query: there is nothing to predict");
  const mean = await pacedBootstrapMean(known, pacedBy(options.signal), { seed });
  return Object.freeze({ perQuery, mean, skipped: queries - known.length });
}

/** NaN where the measured values do not vary, 0 where only the predicted ones do not. */
function agreementOf(predicted: Float64Array, measured: Float64Array): number {
  if (measured.every((value) => value === measured[0])) return NaN;
  return predicted.every((value) => value === predicted[0]) ? 0 : spearman(predicted, measured);
}
