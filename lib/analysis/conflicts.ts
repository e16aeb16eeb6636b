// The queries on which two instance attributions disagree most, e.g. influence and NA-Instances. There the two views of what the
// model knows fall apart; an ablation (lib/faithfulness) tells which of them the prediction rests on. Pure.
import { integer, onlyKnown } from "../options";
import { everyRow } from "../pacing";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { spearmanSteps } from "../statistics";
import { choiceOptionNames, choicesOf, sharedShare, type ChoiceOptions } from "./choices";
import { requireSameEntries } from "./overlap";
import type { Conflict } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";

/**
 * All queries, the ones with the lowest rank correlation first (those without one last), then by the lowest overlap of the top
 * k, then by index. Both attributions must have the same queries and training instances ("mismatch" otherwise). Cost: two sorts
 * per query, linear in the training instances.
 * @example (await conflicts(influences, await naInstances(queryNeurons, trainNeurons))).slice(0, 5)
 */
export async function conflicts(
  a: InstanceAttribution,
  b: InstanceAttribution,
  options: ChoiceOptions = {},
): Promise<Conflict[]> {
  const k = integer(onlyKnown(options, choiceOptionNames), "k", 10, 1);
  requireInstanceAttribution(a, "a");
  requireInstanceAttribution(b, "b");
  requireSameEntries(a, b);
  const [first, second] = [
    await choicesOf(a, k, { signal: options.signal }),
    await choicesOf(b, k, { signal: options.signal }),
  ];
  const found: Conflict[] = [];
  await everyRow(a.queries, "conflicts", options, function* (query) {
    const correlation = yield* spearmanSteps(rowScores(a, query), rowScores(b, query));
    found.push({ query, id: a.queryIds[query], correlation, overlap: sharedShare(first[query], second[query]) });
  });
  const rank = ({ correlation }: Conflict) => (Number.isNaN(correlation) ? 2 : correlation);
  return found.sort((x, y) => rank(x) - rank(y) || x.overlap - y.overlap || x.query - y.query);
}
