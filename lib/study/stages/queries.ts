// Every query with what each method attributes it to, for the browser of the report.
import type { InstanceAttribution, NeuronAttribution } from "../../../types/results";
import type { Evaluation } from "../../model/evaluate";
import { rowScores, top } from "../../results/top";
import type { StudyRow } from "../rows";
import type { ConflictRow, QueryResult, RankedRow, Ranking } from "../results";
import type { Subject } from "../subject";
import type { Result } from "./attribute";

interface QueryRequest {
  readonly subject: Subject;
  readonly evaluation: Evaluation;
  readonly instances: readonly Result<InstanceAttribution>[];
  readonly units: readonly Result<NeuronAttribution>[];
  readonly conflicts: readonly ConflictRow[];
}

const rowsShown = 5;
const rowsBelow = 2;
const unitsShown = 5;

export function queryResults({ subject, evaluation, instances, units, conflicts }: QueryRequest): QueryResult[] {
  const { data, queries, truth } = subject;
  const nameOf = (label: number): string => data.labels[label] ?? `choice ${label + 1}`;
  const disputed = new Set(conflicts.map(({ query }) => query));
  return data.queries.map((row, query) => ({
    id: row.id,
    text: textOf(row) || queries.texts[query],
    group: row.group ?? null,
    label: nameOf(row.label),
    prediction: nameOf(evaluation.predictions[query]),
    probability: evaluation.probabilities[query],
    isConflict: disputed.has(query),
    rankings: instances.map((each) => rankingOf(each, query, data.train, nameOf, truth?.sameFact[query] ?? [])),
    units: units.map(({ name, attribution }) => ({
      method: name,
      unit: attribution.unit,
      target: attribution.targetValues[query] ?? NaN,
      entries: top(attribution, query, unitsShown)
        .filter(({ score }) => score !== 0)
        .map(({ layer, unit, score }) => ({ layer, unit, isHead: attribution.site === "heads", score })),
    })),
  }));
}

function rankingOf(
  { name, attribution }: Result<InstanceAttribution>,
  query: number,
  train: readonly StudyRow[],
  nameOf: (label: number) => string,
  truth: readonly number[],
): Ranking {
  const scores = rowScores(attribution, query);
  const entry = (index: number): RankedRow => ({
    index,
    text: textOf(train[index]),
    label: nameOf(train[index].label),
    score: scores[index],
    isTrue: truth.includes(index),
  });
  const best = top(attribution, query, train.length)
    .filter(({ score }) => Number.isFinite(score))
    .map(({ index }) => index);
  return {
    method: name,
    unit: attribution.unit,
    total: scores.reduce((sum, score) => sum + (Number.isFinite(score) ? Math.abs(score) : 0), 0),
    top: best.slice(0, rowsShown).map(entry),
    bottom: best.slice(-rowsBelow).reverse().map(entry),
  };
}

export function textOf({ fields }: Pick<StudyRow, "fields">): string {
  return Object.entries(fields)
    .filter(([name]) => !["fact", "group", "pairID", "template", "subcase"].includes(name))
    .flatMap(([, value]) => value)
    .join(" / ");
}
