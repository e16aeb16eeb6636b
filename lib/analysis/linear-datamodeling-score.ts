// Do summed scores foretell what models tuned on other training sets say? Outputs of such models come from subsetOutputs and
// leaveOneOutOutputs (lib/faithfulness); nothing here touches a model.
import { AttributionError } from "../errors";
import { integer, onlyKnown } from "../options";
import { requireInstanceAttribution, requireOutputs } from "../results/require";
import { rowScores } from "../results/top";
import { bootstrapMean, spearman } from "../statistics";
import type { RankAgreement, SubsetOutputs } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";

export interface AgreementOptions {
  /** Of the bootstrap interval. @default 42 */
  readonly seed?: number;
}

/**
 * Linear datamodeling score (Park et al. 2023): per query Spearman's correlation, over subsets, of Σ scores of the subset's instances
 * with the measured output of the models tuned on it. 1: the scores order all subsets rightly; 0: chance. Cost: subsets × train × queries.
 * @example linearDatamodelingScore(influences, await subsetOutputs(base, train, queries, { subsets: 40 })).mean
 */
export function linearDatamodelingScore(
  attribution: InstanceAttribution,
  outputs: SubsetOutputs,
  given?: AgreementOptions,
): RankAgreement {
  return agreement(attribution, outputs, given, (scores, mask) => {
    let sum = 0;
    for (let i = 0; i < scores.length; i++) if (mask[i] === 1) sum += scores[i];
    return sum;
  });
}

/**
 * Leave-one-out correlation: the same with models that each lack one training instance (or a few), which moves less and so needs
 * more seeds. Foretold: minus the scores of what is left out, so that both rise with the query's output.
 * @example leaveOneOutCorrelation(influences, await leaveOneOutOutputs(base, train, queries, { leaveOut: [0, 1, 2, 3] })).mean
 */
export function leaveOneOutCorrelation(
  attribution: InstanceAttribution,
  outputs: SubsetOutputs,
  given?: AgreementOptions,
): RankAgreement {
  return agreement(attribution, outputs, given, (scores, mask) => {
    let sum = 0;
    for (let i = 0; i < scores.length; i++) if (mask[i] === 0) sum -= scores[i];
    return sum;
  });
}

function agreement(
  attribution: InstanceAttribution,
  outputs: SubsetOutputs,
  given: AgreementOptions | undefined,
  foretell: (scores: Float32Array, mask: Uint8Array) => number,
): RankAgreement {
  const seed = integer(onlyKnown(given, ["seed"]), "seed", 42, 0);
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
  const perQuery = Float64Array.from({ length: queries }, (_, query) => {
    const scores = rowScores(attribution, query);
    const foretold = Float64Array.from({ length: subsets }, (__, subset) =>
      foretell(scores, masks.subarray(subset * train, (subset + 1) * train)),
    );
    const measured = Float64Array.from({ length: subsets }, (__, subset) => values[subset * queries + query]);
    if (measured.every((value) => value === measured[0])) return NaN;
    return foretold.every((value) => value === foretold[0]) ? 0 : spearman(foretold, measured);
  });
  const known = perQuery.filter((value) => !Number.isNaN(value));
  if (known.length === 0)
    throw new AttributionError("invalid", "The measured outputs vary for no query: there is nothing to foretell");
  return Object.freeze({ perQuery, mean: bootstrapMean(known, { seed }), skipped: queries - known.length });
}
