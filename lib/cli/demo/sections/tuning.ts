// The fine-tuning test as bars beside the random shares.
import type { FineTuningPoint } from "../../../faithfulness/fine-tuning-test";
import type { BarPlot, BarSeries, Cell, ReportSection } from "../../../../types/report";
import { majorityShare } from "../claims";
import type { Findings } from "../stages/all";
import type { TuningTest } from "../stages/tuning-test";

/** Undefined where the test was left out. */
export function tuningSection({ tuningTests, subject }: Findings): ReportSection | undefined {
  const [first] = tuningTests;
  if (first === undefined) return undefined;
  const all = first.result.points.find(({ subset }) => subset === "all");
  const seeds = new Set(first.result.runs.map(({ seed }) => seed)).size;
  const measured = tuningTests.flatMap(({ method, result }) => result.points.map((point) => ({ ...point, method })));
  const rows = [
    ...measured.filter(({ subset }) => subset === "most" || subset === "least"),
    ...measured.filter(({ subset }) => subset === "random"),
  ].map(({ method, subset, fraction, accuracy, agreement }): Cell[] => [
    subset === "random" ? "–" : method,
    words[subset],
    `${Math.round(100 * fraction)} %`,
    accuracy,
    agreement,
  ]);
  return {
    title: "Fine-tuning test",
    explanation:
      "The base model is tuned again on the most and on the least influential share of the training claims (ranked over all queries) and on as large a random share: influential claims should leave the answers to the queries as they were. (The paper finds that random shares often do as well.)",
    blocks: [
      barsOf("Accuracy on the queries", "Accuracy", tuningTests, ({ accuracy }) => accuracy),
      barsOf("Agreement with the model tuned on all", "Equal predictions", tuningTests, ({ agreement }) => agreement),
      {
        kind: "table",
        caption: "Models tuned on a share of the training claims",
        columns: [
          { label: "Ranked by" },
          { label: "Claims taken" },
          { label: "Share" },
          { label: "Accuracy on the queries", digits: 3 },
          { label: "Agreement", digits: 3 },
        ],
        rows: [...rows, ["–", "all", "100 %", all?.accuracy ?? null, all?.agreement ?? null]],
        notes: [
          `Means of ${seeds} seeds with a bootstrap interval. All are tuned for as many epochs, so a smaller share also means fewer steps. Majority baseline on the queries: ${majorityShare(subject.queryClaims).toFixed(3)}.`,
        ],
      },
    ],
  };
}

const words: Readonly<Record<FineTuningPoint["subset"], string>> = {
  most: "most influential",
  least: "least influential",
  random: "random",
  all: "all",
};

function barsOf(
  title: string,
  label: string,
  tests: readonly TuningTest[],
  value: (point: FineTuningPoint) => FineTuningPoint["accuracy"],
): BarPlot {
  const fractions = [
    ...new Set(tests[0].result.points.filter(({ subset }) => subset !== "all").map(({ fraction }) => fraction)),
  ].sort((a, b) => a - b);
  const seriesOf = (name: string, { result }: TuningTest, subset: FineTuningPoint["subset"]): BarSeries => ({
    label: name,
    role: subset === "random" ? "control" : "method",
    values: fractions.map((fraction) => {
      const point = result.points.find((candidate) => candidate.subset === subset && candidate.fraction === fraction);
      return point === undefined ? NaN : value(point);
    }),
  });
  const methods = tests.flatMap((test) => [
    seriesOf(`${test.method}: most`, test, "most"),
    seriesOf(`${test.method}: least`, test, "least"),
  ]);
  return {
    kind: "bars",
    title,
    x: { label: "Share of the training claims" },
    y: { label, format: "percent" },
    categories: fractions.map((fraction) => `${Math.round(100 * fraction)} %`),
    series: [...methods, seriesOf("Random share", tests[0], "random")],
  };
}
