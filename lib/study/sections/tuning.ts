// Faithfulness of instances: the fine-tuning test beside random shares, and the linear datamodeling score.
import type { BarPlot, BarSeries, Cell, ReportSection } from "../../../types/report";
import type { SubjectResults } from "../results";
import type { TuningRun } from "../stages/test";
import { nameOf, rangeNote, rangeOf } from "./names";

/** Undefined where the test was left out. */
export function tuningSection(subjects: readonly SubjectResults[]): ReportSection | undefined {
  const tested = subjects.filter(({ fineTuning }) => fineTuning.length > 0);
  if (tested.length === 0) return undefined;
  const seeds = new Set(tested[0].fineTuning.map(({ seed }) => seed)).size;
  return {
    title: "Which training rows? The fine-tuning test",
    explanation:
      "The base model is tuned again on the most and the least influential share of the rows, and on random shares as large. Influential rows should do best.",
    blocks: tested.flatMap((subject) => {
      const runs = subject.fineTuning;
      const fractions = [
        ...new Set(runs.filter(({ subset }) => subset !== "all").map(({ fraction }) => fraction)),
      ].sort((a, b) => a - b);
      const row = (
        name: string,
        method: string | undefined,
        subset: TuningRun["subset"],
        of: "accuracy" | "agreement",
      ): Cell[] => [
        name,
        subsetWords[subset],
        ...fractions.map((fraction): Cell => {
          const values = valuesOf(runs, method, subset, fraction, of);
          return values.length === 0 ? null : rangeOf(values);
        }),
      ];
      const methods = methodsOf(runs);
      const all = runs.filter(({ subset }) => subset === "all").map(({ accuracy }) => accuracy);
      const table = (of: "accuracy" | "agreement") => ({
        kind: "table" as const,
        caption: `${of === "accuracy" ? "Accuracy on the queries" : "Predictions equal to those of the model tuned on all rows"}: ${nameOf(subject, subjects)}`,
        columns: [
          { label: "Ranked by" },
          { label: "Rows taken" },
          ...fractions.map((fraction) => ({ label: `${Math.round(100 * fraction)} %`, digits: 3 })),
        ],
        rows: [
          ...methods.flatMap((method) => [row(method, method, "most", of), row(method, method, "least", of)]),
          row("–", undefined, "random", of),
        ],
        notes: [
          `${rangeNote(seeds)} Tuned on all rows, the accuracy is ${rangeOf(all).mean.toFixed(3)}. All are tuned for as many epochs, so smaller shares also mean fewer steps.`,
        ],
      });
      return [table("accuracy"), table("agreement"), barsOf(subject, subjects, fractions)];
    }),
  };
}

const subsetWords: Readonly<Record<TuningRun["subset"], string>> = {
  most: "most influential",
  least: "least influential",
  random: "random",
  all: "all",
};

export function methodsOf(runs: readonly TuningRun[]): string[] {
  return [...new Set(runs.flatMap(({ method }) => (method === undefined ? [] : [method])))];
}

export function valuesOf(
  runs: readonly TuningRun[],
  method: string | undefined,
  subset: TuningRun["subset"],
  fraction: number,
  of: "accuracy" | "agreement",
): number[] {
  return runs
    .filter(
      (run) => run.subset === subset && run.fraction === fraction && (subset === "random" || run.method === method),
    )
    .map((run) => run[of]);
}

function barsOf(subject: SubjectResults, subjects: readonly SubjectResults[], fractions: readonly number[]): BarPlot {
  const runs = subject.fineTuning;
  const series = (label: string, method: string | undefined, subset: TuningRun["subset"]): BarSeries => ({
    label,
    role: subset === "random" ? "control" : "method",
    values: fractions.map((fraction) => {
      const values = valuesOf(runs, method, subset, fraction, "accuracy");
      return values.length === 0 ? NaN : rangeOf(values);
    }),
  });
  return {
    kind: "bars",
    title: `Accuracy after tuning on the most influential rows: ${nameOf(subject, subjects)}`,
    caption: "Whiskers: the smallest and the largest of the seeds.",
    x: { label: "Share of the training rows" },
    y: { label: "Accuracy on the queries", format: "percent" },
    categories: fractions.map((fraction) => `${Math.round(100 * fraction)} %`),
    series: [
      ...methodsOf(runs).map((method) => series(method, method, "most")),
      series("Random rows", undefined, "random"),
    ],
  };
}

/** Undefined where no subset models were asked for. */
export function datamodelingSection(subjects: readonly SubjectResults[]): ReportSection | undefined {
  const rows = subjects.flatMap((subject) =>
    subject.datamodeling.map(({ method, score }) => [nameOf(subject, subjects), method, score]),
  );
  if (rows.length === 0) return undefined;
  return {
    title: "Do scores foretell what other training sets give?",
    explanation:
      "Models are tuned on random halves of the rows. The score is the rank correlation of summed scores with what these models say: 1 is right, 0 is chance.",
    blocks: [
      {
        kind: "table",
        caption: "Linear datamodeling score",
        columns: [{ label: "Model" }, { label: "Method" }, { label: "Score", digits: 3 }],
        rows,
        notes: ["Brackets: 95 % bootstrap interval over queries."],
      },
    ],
  };
}
