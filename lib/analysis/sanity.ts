// Sanity of an instance attribution (Adebayo et al. 2018; quanda's randomised models): scores must depend on the trained weights, and
// must tell queries apart. The caller computes the same scores under a model with re-drawn weights. Pure.
import { AttributionError } from "../errors";
import { integer, onlyKnown } from "../options";
import { everyRow, pacedBy } from "../pacing";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { pacedBootstrapMean, spearmanSteps } from "../statistics";
import { choiceOptionNames } from "./choices";
import { distinctCounts, overlap, type OverlapOptions, requireSameEntries } from "./overlap";
import type { Sanity } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";

/**
 * Per query the rank correlation of its scores with those under re-drawn weights (near 0 for a sane method: one near 1 tells about
 * the texts alone), the overlap of the top k, and how many distinct instances fill all top lists. "mismatch" unless both have the
 * same queries and training instances; "invalid" where no query's scores vary. Cost: two sorts per query.
 * @example const redrawn = await createModel(model.config, { labels: model.labels, seed: 1 });
 * const { correlation } = await sanity(influences, await influence(redrawn, train, queries));
 */
export async function sanity(
  attribution: InstanceAttribution,
  redrawn: InstanceAttribution,
  options: OverlapOptions = {},
): Promise<Sanity> {
  const known = onlyKnown(options, [...choiceOptionNames, "seed"]);
  const k = integer(known, "k", 10, 1);
  const seed = integer(known, "seed", 42, 0);
  requireInstanceAttribution(attribution, "attribution");
  requireInstanceAttribution(redrawn, "redrawn");
  requireSameEntries(attribution, redrawn);
  const perQuery = new Float64Array(attribution.queries);
  await everyRow(attribution.queries, "sanity", options, function* (query) {
    perQuery[query] = yield* spearmanSteps(rowScores(attribution, query), rowScores(redrawn, query));
  });
  const varying = perQuery.filter((value) => !Number.isNaN(value));
  if (varying.length === 0)
    throw new AttributionError("invalid", "The scores vary for no query in both attributions: nothing can be compared");
  const { signal } = options;
  const shared = await overlap(attribution, redrawn, { k, seed, signal });
  return Object.freeze({
    k,
    perQuery,
    correlation: await pacedBootstrapMean(varying, pacedBy(signal), { seed }),
    skipped: perQuery.length - varying.length,
    overlap: shared.mean,
    overlapChance: shared.chance,
    distinct: await distinctCounts(attribution, { k, signal }),
    distinctRedrawn: await distinctCounts(redrawn, { k, signal }),
  });
}
