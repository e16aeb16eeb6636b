// Every query with its rankings and units.
import type { InstanceCard, ReportSection } from "../../../types/report";
import type { QueryResult, Ranking, SubjectResults } from "../results";
import { nameOf, percent, rounded } from "./names";

export function queriesSection(subjects: readonly SubjectResults[]): ReportSection {
  const queries = subjects.flatMap((subject) =>
    subject.queries.map((query) => cardOf(query, nameOf(subject, subjects), subjects.length > 1)),
  );
  return {
    title: "Every query",
    explanation:
      "Search, sort and filter all queries. A share in percent says how much of the row's sum of absolute scores an entry has, so that methods compare.",
    blocks: [{ kind: "instances", browse: true, truthLabel: "about the same fact", cards: queries }],
  };
}

function cardOf(query: QueryResult, model: string, isOneOfSeveral: boolean): InstanceCard {
  return {
    id: isOneOfSeveral ? `${model}: ${query.id}` : query.id,
    text: query.text,
    label: query.label,
    prediction: { label: query.prediction, probability: query.probability },
    isConflict: query.isConflict,
    ...(isOneOfSeveral ? { group: model } : query.group === null ? {} : { group: query.group }),
    instances: query.rankings.map((ranking) => listOf(ranking)),
    neurons: query.units.map(({ method, unit, entries, target }) => ({
      method,
      unit:
        entries.length === 0 || !Number.isFinite(target)
          ? unit
          : `${unit}; these add up to ${rounded(
              entries.reduce((sum, { score }) => sum + score, 0),
              3,
            )} of ${rounded(target, 3)}`,
      entries,
    })),
  };
}

function listOf({ method, unit, total, top, bottom }: Ranking): InstanceCard["instances"][number] {
  const entry = ({ text, label, score, isTrue, index }: Ranking["top"][number]) => ({
    id: String(index),
    text,
    label,
    score,
    isTrue,
    share: total > 0 && Number.isFinite(score) ? Math.abs(score) / total : 0,
  });
  const held =
    total > 0 ? top.reduce((sum, { score }) => sum + (Number.isFinite(score) ? Math.abs(score) : 0), 0) / total : 0;
  return {
    method,
    unit: `${unit}; the top ${top.length} hold ${percent(held)} of the row's total`,
    entries: top.map(entry),
    bottom: bottom.map(entry),
  };
}
