// Faithfulness of neurons and heads: the paper's table, the curves behind it, heads against neurons, and where the units lie.
import type { Estimate, FaithfulnessPoint } from "../../../types/results";
import type { Cell, HeatMap, LinePlot, LineSeries, ReportSection, ReportTable } from "../../../types/report";
import type { NeuronTestRow, SubjectResults } from "../results";
import { nameOf } from "./names";

type TestName = "sufficiency" | "comprehensiveness";

const titles: Readonly<Record<TestName, string>> = {
  sufficiency: "Sufficiency: keep only the top r neurons",
  comprehensiveness: "Comprehensiveness: remove the top r neurons",
};
const wanted: Readonly<Record<TestName, string>> = {
  sufficiency: "Near 0 is faithful",
  comprehensiveness: "Far below 0 is faithful",
};

export function neuronTableSection(subjects: readonly SubjectResults[]): ReportSection {
  return {
    title: "Which neurons does a prediction rest on?",
    explanation:
      "Sufficiency keeps only the top r neurons at the last token; the probability of the predicted class should hardly change. Comprehensiveness removes them; it should fall.",
    blocks: subjects.flatMap((subject) => [
      changeTable("sufficiency", subject, subjects),
      changeTable("comprehensiveness", subject, subjects),
    ]),
  };
}

/** Sizes that all rankings of a subject have: means over r compare the same r. */
export function commonSizes(test: TestName, { neuronTests }: SubjectResults): number[] {
  const [first, ...others] = neuronTests.map((row) => row[test].map(({ r }) => r));
  return first.filter((r) => others.every((sizes) => sizes.includes(r)));
}

export function meanChange(
  row: NeuronTestRow,
  test: TestName,
  sizes: readonly number[],
  of: "own" | "random" = "own",
): number {
  const points = row[test].filter(({ r }) => sizes.includes(r));
  return (
    points.reduce(
      (sum, point) => sum + (of === "own" ? point.probabilityChange : point.randomProbabilityChange).mean,
      0,
    ) / points.length
  );
}

function changeTable(test: TestName, subject: SubjectResults, subjects: readonly SubjectResults[]): ReportTable {
  const { neuronTests } = subject;
  const sizes = [...new Set(neuronTests.flatMap((row) => row[test].map(({ r }) => r)))].sort((a, b) => a - b);
  const common = commonSizes(test, subject);
  const longest = neuronTests.reduce((a, b) => (b[test].length > a[test].length ? b : a));
  const line = (name: string, row: NeuronTestRow, of: "own" | "random"): Cell[] => {
    const value = (point: FaithfulnessPoint | undefined): Estimate | null =>
      point === undefined ? null : of === "own" ? point.probabilityChange : point.randomProbabilityChange;
    return [
      name,
      ...sizes.map((r) => value(row[test].find((point) => point.r === r))),
      meanChange(row, test, common, of),
    ];
  };
  const isShort = common.length < sizes.length;
  return {
    kind: "table",
    caption: `${titles[test]}, change of probability: ${nameOf(subject, subjects)}`,
    columns: [
      { label: "Method" },
      ...sizes.map((r) => ({ label: `r = ${r}`, digits: 3 })),
      { label: isShort ? `Mean over r = ${common.join(", ")}` : "Mean over r", digits: 3 },
    ],
    rows: [...neuronTests.map((row) => line(row.method, row, "own")), line("Random neurons", longest, "random")],
    notes: [
      `${wanted[test]}. Brackets: 95 % bootstrap interval over queries.`,
      ...(isShort
        ? [
            "Some rankings have fewer neurons than the largest r; their cells are empty, and all means are over the r that every ranking has.",
          ]
        : []),
    ],
  };
}

export function headsSection(subjects: readonly SubjectResults[]): ReportSection {
  const rows = subjects.flatMap((subject) => {
    const name = nameOf(subject, subjects);
    const line = (row: NeuronTestRow, label: string): Cell[] => [
      name,
      label,
      row.units,
      row.deletion.difference,
      row.insertion.difference,
      row.cpr,
      row.randomCpr,
      row.cmd,
      row.randomCmd,
    ];
    return [
      ...subject.neuronTests.map((row) => line(row, row.method)),
      line(subject.headTests, subject.headTests.method),
    ];
  });
  return {
    title: "Do heads or neurons explain more?",
    explanation:
      "Deletion removes growing shares of the units, insertion adds them, best first. Heads and neurons get the same shares, so their areas compare.",
    blocks: [
      {
        kind: "table",
        caption: "Areas under deletion and insertion against random orders, and MIB's two measures",
        columns: [
          { label: "Model" },
          { label: "Method" },
          { label: "Units", digits: 0 },
          { label: "Deletion minus random", digits: 3 },
          { label: "Insertion minus random", digits: 3 },
          { label: "CPR", digits: 3 },
          { label: "CPR, random", digits: 3 },
          { label: "CMD", digits: 3 },
          { label: "CMD, random", digits: 3 },
        ],
        rows,
        notes: [
          "Deletion: below 0 is faithful. Insertion: above 0 is faithful. CPR: high is faithful; CMD: near 0 is faithful.",
          "CPR is the area under f(k) = (m(k) − m(0)) / (m(1) − m(0)), CMD that under |1 − f(k)|; m(k) is the mean probability with the top share k of units.",
          "Brackets: 95 % bootstrap interval over queries.",
        ],
      },
      ...subjects.map((subject): LinePlot => headPlot(subject, subjects)),
    ],
  };
}

function headPlot(subject: SubjectResults, subjects: readonly SubjectResults[]): LinePlot {
  const [neurons, heads] = [subject.neuronTests[0], subject.headTests];
  return {
    kind: "lines",
    title: `Insertion: heads and neurons, ${nameOf(subject, subjects)}`,
    caption: "Probability of the predicted class with only the top share of units. Higher is better.",
    x: { label: "Share of the units", format: "percent" },
    y: { label: "Probability" },
    series: [
      seriesOf(neurons.method, neurons, "insertion"),
      seriesOf(heads.method, heads, "insertion"),
      { ...seriesOf("Random neurons", neurons, "randomInsertion"), role: "control" },
      { ...seriesOf("Random heads", heads, "randomInsertion"), role: "control" },
    ],
  };
}

function seriesOf(
  label: string,
  { curve }: NeuronTestRow,
  of: "insertion" | "deletion" | "randomInsertion" | "randomDeletion",
): LineSeries {
  return {
    label,
    points: curve.map((point) => ({ x: point.fraction, y: point[of].mean, low: point[of].low, high: point[of].high })),
  };
}

export function curvesSection(subjects: readonly SubjectResults[]): ReportSection {
  return {
    title: "Curves",
    explanation:
      "The tests of neurons as curves over the number of neurons. Bands are 95 % bootstrap intervals over queries; the numbers stand below each drawing.",
    blocks: subjects.flatMap((subject) =>
      (["sufficiency", "comprehensiveness"] as const).map((test) => changePlot(test, subject, subjects)),
    ),
  };
}

function changePlot(test: TestName, subject: SubjectResults, subjects: readonly SubjectResults[]): LinePlot {
  const { neuronTests } = subject;
  const longest = neuronTests.reduce((a, b) => (b[test].length > a[test].length ? b : a));
  const line = (
    label: string,
    row: NeuronTestRow,
    of: "probabilityChange" | "randomProbabilityChange",
  ): LineSeries => ({
    label,
    points: row[test].map((point) => ({ x: point.r, y: point[of].mean, low: point[of].low, high: point[of].high })),
  });
  return {
    kind: "lines",
    title: `${titles[test]}: ${nameOf(subject, subjects)}`,
    caption: `${wanted[test]}.`,
    x: { label: "Neurons (r)", scale: "log" },
    y: { label: "Change of probability" },
    series: [
      ...neuronTests.map((row) => line(row.method, row, "probabilityChange")),
      { ...line("Random neurons", longest, "randomProbabilityChange"), role: "control" },
    ],
  };
}

export function unitMapSection(subjects: readonly SubjectResults[]): ReportSection {
  return {
    title: "Where in the network?",
    explanation:
      "Layer 0 reads the words. The bars count the layers of the top 10 neurons of each query; the map adds up the mean scores of neighbouring neurons.",
    blocks: subjects.flatMap((subject) => [layerBars(subject, subjects), unitHeatMap(subject, subjects)]),
  };
}

function layerBars(subject: SubjectResults, subjects: readonly SubjectResults[]) {
  return {
    kind: "bars" as const,
    title: `Layers of the top 10 neurons: ${nameOf(subject, subjects)}`,
    x: { label: "Layer" },
    y: { label: "Share of chosen neurons", format: "percent" as const },
    categories: subject.layers[0].shares.map((_, layer) => String(layer)),
    series: subject.layers.map(({ method, role, shares }) => ({ label: method, role, values: shares })),
  };
}

function unitHeatMap(subject: SubjectResults, subjects: readonly SubjectResults[]): HeatMap {
  const { method, perColumn, values, units } = subject.unitMap;
  return {
    kind: "heatMap",
    title: `Layers and neurons: ${nameOf(subject, subjects)}`,
    caption: `Mean score over all queries by ${method}${perColumn === 1 ? "" : `, added up over ${perColumn} neighbouring neurons`}.`,
    x: { label: perColumn === 1 ? "Neuron" : `First of ${perColumn} neurons` },
    y: { label: "Layer" },
    columns: values[0].map((_, at) => String(Math.min(units - 1, at * perColumn))),
    rows: values.map((_, layer) => String(layer)),
    values,
    valueLabel: "Mean score",
  };
}
