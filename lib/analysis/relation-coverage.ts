// Are the chosen training instances about what the query is about? Relations are the caller's: the kind of fact, a topic, a class. Pure.
import { AttributionError, expected } from "../errors";
import { integer, onlyKnown } from "../options";
import { pacedBy } from "../pacing";
import { requireInstanceScores } from "../results/require";
import { pacedBootstrapMean } from "../statistics";
import { choiceOptionNames, choicesOf } from "./choices";
import type { OverlapOptions } from "./overlap";
import type { RelationCoverage } from "../../types/analysis";
import type { InstanceScores } from "../../types/store";

/** A relation's name or number; null where none is known. */
export type Relation = string | number | null;

/**
 * The share of each query's top k training instances that have the query's relation, beside the share of all that have it (chance),
 * and the share of queries with at least one. Queries without a relation are left out and counted. "mismatch" unless there is a
 * relation, or null, for every query and training instance. Cost: one pass over the scores.
 * @example (await relationCoverage(influences, queryRelations, trainRelations, { k: 10 })).share.mean // 0.8; chance 0.05
 */
export async function relationCoverage(
  attribution: InstanceScores,
  queryRelations: readonly Relation[],
  trainRelations: readonly Relation[],
  options: OverlapOptions = {},
): Promise<RelationCoverage> {
  const known = onlyKnown(options, [...choiceOptionNames, "seed"]);
  const k = integer(known, "k", 10, 1);
  const seed = integer(known, "seed", 42, 0);
  requireInstanceScores(attribution, "attribution");
  requireRelations(queryRelations, "queryRelations", attribution.queries);
  requireRelations(trainRelations, "trainRelations", attribution.train);
  const counts = new Map<Relation, number>();
  for (const relation of trainRelations) counts.set(relation, (counts.get(relation) ?? 0) + 1);
  const choices = await choicesOf(attribution, k, options);
  const perQuery = Float64Array.from(choices, (choice, query) => {
    const relation = queryRelations[query];
    if (relation === null || choice.length === 0) return NaN;
    return choice.filter((index) => trainRelations[index] === relation).length / choice.length;
  });
  const found = perQuery.filter((share) => !Number.isNaN(share));
  if (found.length === 0)
    throw new AttributionError("invalid", "Expected a query with a relation and with choices but there is none");
  const chances = queryRelations.filter((_, query) => !Number.isNaN(perQuery[query]));
  const chance = chances.reduce<number>((sum, relation) => sum + (counts.get(relation) ?? 0), 0);
  const pace = pacedBy(options.signal);
  return Object.freeze({
    k,
    perQuery,
    share: await pacedBootstrapMean(found, pace, { seed }),
    chance: chance / (chances.length * attribution.train),
    covered: await pacedBootstrapMean(
      found.map((share) => Number(share > 0)),
      pace,
      { seed },
    ),
    skipped: perQuery.length - found.length,
  });
}

function requireRelations(relations: unknown, name: string, length: number): asserts relations is readonly Relation[] {
  const isRelation = (value: unknown) => value === null || typeof value === "string" || typeof value === "number";
  if (!Array.isArray(relations) || !relations.every(isRelation))
    throw expected(name, "a list of names or numbers, null where none is known", relations);
  if (relations.length !== length)
    throw new AttributionError("mismatch", `Expected ${length} entries of "${name}" but received ${relations.length}`);
}
