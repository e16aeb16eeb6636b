// The evaluation's table: a row per method, a column per measure, over all subjects.
import { formatNumber } from "../../lib/report/format";
import type { Estimate } from "../../types/results";
import { atLeast, atMost, type Measurement, type Row } from "../benchmark";
import type { EvaluationSize, SubjectName } from "./subjects";

export interface MethodResult {
  readonly name: string;
  readonly subject: SubjectName;
  /** CPU seconds. */
  readonly seconds: number;
  readonly bytes: number;
  readonly datamodeling: Estimate;
  readonly recall?: Estimate;
  readonly reciprocalRank?: Estimate;
  readonly mislabelled?: Estimate;
}

const subjects: readonly SubjectName[] = ["facts", "relations", "pairs"];
const columns = [
  "method",
  "LDS, facts",
  "recall@10",
  "MRR",
  "LDS, relations",
  "mislabel AUC, relations",
  "LDS, MNLI",
  "mislabel AUC, MNLI",
  "CPU s, facts",
  "CPU s, relations",
  "CPU s, MNLI",
  "MB kept",
];
/** What must be clear of chance for the classifiers to tell the methods apart. */
const leastDetection = 0.8;

export function measurementOf(
  results: readonly MethodResult[],
  notes: readonly string[],
  size: EvaluationSize,
): Measurement {
  const names = [...new Set(results.map(({ name }) => name))];
  const of = (name: string, subject: MethodResult["subject"]): MethodResult | undefined =>
    results.find((result) => result.name === name && result.subject === subject);
  const rows = names.map((name) => {
    const [facts, relations, pairs] = subjects.map((subject) => of(name, subject));
    const bytes = [facts, relations, pairs].reduce((sum, result) => sum + (result?.bytes ?? 0), 0);
    return [
      name,
      shown(facts?.datamodeling),
      shown(facts?.recall),
      shown(facts?.reciprocalRank),
      ...[relations, pairs].flatMap((result) => [shown(result?.datamodeling), shown(result?.mislabelled)]),
      ...[facts, relations, pairs].map(seconds),
      bytes === 0 ? "–" : formatNumber(bytes / 1e6, 1),
    ];
  });
  const random = of("random", "facts")?.reciprocalRank?.mean ?? NaN;
  const best = results
    .filter(({ reciprocalRank, name }) => reciprocalRank !== undefined && !/random|BM25|hidden/.test(name))
    .reduce((a, b) => ((b.reciprocalRank?.mean ?? 0) > (a.reciprocalRank?.mean ?? 0) ? b : a));
  return {
    table: { columns, rows },
    rows: results.flatMap(measuresOf),
    ratio: (best.reciprocalRank?.mean ?? NaN) / random,
    unit: `random's mean reciprocal rank (${best.name})`,
    bars: [
      ...results
        .filter(({ name }) => name === "random")
        .map(({ subject, datamodeling }) =>
          atMost(`${subject}: random's LDS is chance, its size`, Math.abs(datamodeling.mean), 0.1),
        ),
      atLeast(
        "facts: EK-FAC's LDS over the exact gradient dot product's",
        (of("influence, EK-FAC", "facts")?.datamodeling.mean ?? NaN) /
          (of("gradient dot, MLP, exact", "facts")?.datamodeling.mean ?? NaN),
        1,
      ),
      atLeast(
        "relations: mislabel AUC of the exact gradient dot product",
        of("gradient dot, MLP, exact", "relations")?.mislabelled?.mean ?? NaN,
        leastDetection,
      ),
    ],
    notes: [...notes, ...explained(size)],
    versions: {},
  };
}

function explained({ facts, relations, pairs, subsets, seed, tuning, teaching }: EvaluationSize): string[] {
  const spoilt = ({ wrong, inspected }: EvaluationSize["pairs"] | EvaluationSize["relations"]): string =>
    `${Math.round(100 * wrong)} % of the training labels are changed; AUC of self-influence over ${inspected} changed and ${inspected} right rows`;
  return [
    `LDS: Spearman's correlation, over ${subsets} models tuned on random halves, of summed scores with the measured log p of the answer; mean over queries`,
    `facts: ${facts.queries} cloze queries of LAMA's T-REx; true are those of the ${facts.sentences} training sentences that name subject and object, which words alone can find (BM25)`,
    `relations: T-REx sentences, the class is the relation that they state (${Object.values(relations.relations).join(", ")}); the base model has read some of them without a label. ${spoilt(relations)}`,
    `MNLI: ${pairs.classes.join(" against ")}; the classifier has learned ${pairs.taught} other rows before (${teaching.epochs} epochs). ${spoilt(pairs)}`,
    `In brackets 95 % bootstrap intervals over queries (AUC: over rows). One seed, ${seed}, for data, training (${tuning.facts.epochs}, ${tuning.relations.epochs} and ${tuning.pairs.epochs} epochs), subsets, projections and sampled labels`,
    "CPU seconds of one thread, from nothing (stores included), for all queries and the inspected rows; MB kept: gradient stores of all subjects, float16",
    "No AUC where an instance's score with itself is constant. CG and LiSSA run where the head is small (classifiers); NA-Instances needs one predicted token per training instance (classifiers)",
  ];
}

function shown(estimate: Estimate | undefined): string {
  if (estimate === undefined) return "–";
  return `${formatNumber(estimate.mean, 3)} (${formatNumber(estimate.low, 3)} to ${formatNumber(estimate.high, 3)})`;
}

const seconds = (result: MethodResult | undefined): string =>
  result === undefined ? "–" : formatNumber(result.seconds, 1);

/** One row per measure, for --json: the estimate as median, its interval as the least and the largest. */
function measuresOf({
  name,
  subject,
  seconds: cost,
  bytes,
  datamodeling,
  recall,
  reciprocalRank,
  mislabelled,
}: MethodResult): Row[] {
  const row = (unit: string, { mean, low, high }: Estimate): Row => ({
    group: subject,
    name,
    unit,
    median: mean,
    min: low,
    max: high,
    repeats: 1,
    timesOurs: null,
    note: "",
  });
  const plain = (value: number): Estimate => ({ mean: value, low: value, high: value });
  const measures: readonly (readonly [string, Estimate | undefined])[] = [
    ["LDS", datamodeling],
    ["recall@10", recall],
    ["MRR", reciprocalRank],
    ["AUC", mislabelled],
    ["CPU s", plain(cost)],
    ["bytes", plain(bytes)],
  ];
  return measures.flatMap(([unit, estimate]) => (estimate === undefined ? [] : [row(unit, estimate)]));
}
