// The queries on which two instance attributions disagree most, e.g. influence and NA-Instances: where the two views of what
// the model knows fall apart. Which of them the prediction rests on is asked with an ablation (lib/faithfulness). Pure.
import { integer, onlyKnown } from "../options";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { spearman } from "../statistics";
import { choicesOf, sharedShare, type ChoiceOptions } from "./choices";
import { requireSameEntries } from "./overlap";
import type { Conflict } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";

/**
 * All queries, the ones with the lowest rank correlation first (those without one last), then by the lowest overlap of the top
 * k, then by index. Both attributions must have the same queries and training instances ("mismatch" otherwise). Cost: two sorts
 * per query.
 * @example conflicts(influences, naInstances(queryNeurons, trainNeurons)).slice(0, 5)
 */
export function conflicts(a: InstanceAttribution, b: InstanceAttribution, options?: ChoiceOptions): Conflict[] {
  const k = integer(onlyKnown(options, ["k"]), "k", 10, 1);
  requireInstanceAttribution(a, "a");
  requireInstanceAttribution(b, "b");
  requireSameEntries(a, b);
  const [first, second] = [choicesOf(a, k), choicesOf(b, k)];
  const rank = ({ correlation }: Conflict) => (Number.isNaN(correlation) ? 2 : correlation);
  return a.queryIds
    .map((id, query) => ({
      query,
      id,
      correlation: spearman(rowScores(a, query), rowScores(b, query)),
      overlap: sharedShare(first[query], second[query]),
    }))
    .sort((x, y) => rank(x) - rank(y) || x.overlap - y.overlap || x.query - y.query);
}
