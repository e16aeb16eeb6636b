// Sufficiency and comprehensiveness as curves beside random units, and their means as a table.
import type { Estimate, FaithfulnessPoint, NeuronFaithfulness } from "../../../../types/results";
import type { Cell, LinePlot, LineSeries, ReportSection, ReportTable } from "../../../../types/report";
import type { Findings } from "../stages/all";
import { neuronsForTests } from "../stages/alignment";
import type { NeuronTest } from "../stages/neuron-tests";

type TestName = NeuronFaithfulness["test"];

export function faithfulnessSection({
  neuronTests,
  subject: {
    model: {
      architecture: { layers, intermediate },
    },
  },
}: Findings): ReportSection {
  const { neurons } = neuronTests;
  return {
    title: "Which neurons: are they the ones that the prediction rests on?",
    explanation: `Sufficiency keeps only the top r of the ${layers * intermediate} MLP neurons at the last token and zeroes the rest, so the probability of the predicted class should hardly change; comprehensiveness zeroes the top r, so it should fall. A faithful method stands clear of as many random neurons.`,
    blocks: [
      curve("sufficiency", neurons),
      curve("comprehensiveness", neurons),
      flips("sufficiency", neurons),
      flips("comprehensiveness", neurons),
      changesTable("sufficiency", neurons),
      changesTable("comprehensiveness", neurons, [
        `IA-Neurons: the top ${neuronsForTests} neurons of each of the 10 most influential training claims; paper's recipe: the top one of each of the top 100. A curve ends where some query has no more such neurons.`,
      ]),
    ],
  };
}

export function headsSection({
  neuronTests,
  subject: {
    model: {
      architecture: { layers, heads },
    },
  },
}: Findings): ReportSection {
  return {
    title: "Which attention heads?",
    explanation: `The same two tests over the ${layers * heads} attention heads: at the last token they bring in what the other words say.`,
    blocks: [
      curve("sufficiency", neuronTests.heads),
      curve("comprehensiveness", neuronTests.heads),
      changesTable("sufficiency", neuronTests.heads),
      changesTable("comprehensiveness", neuronTests.heads),
    ],
  };
}

const titles: Readonly<Record<TestName, string>> = {
  sufficiency: "Sufficiency: keep only the top r",
  comprehensiveness: "Comprehensiveness: remove the top r",
};
const wanted: Readonly<Record<TestName, string>> = {
  sufficiency: "Near 0 is faithful",
  comprehensiveness: "Far below 0 is faithful",
};

function curve(test: TestName, tests: readonly NeuronTest[]): LinePlot {
  return {
    kind: "lines",
    title: titles[test],
    caption: `${wanted[test]}. Means over queries, bands are 95 % bootstrap intervals.`,
    x: { label: "Units (r)", scale: "log" },
    y: { label: "Change of probability" },
    series: seriesOf(
      test,
      tests,
      (point) => point.probabilityChange,
      (point) => point.randomProbabilityChange,
    ),
  };
}

function flips(test: TestName, tests: readonly NeuronTest[]): LinePlot {
  return {
    kind: "lines",
    title: `${titles[test]}: changed predictions`,
    caption: `Share of queries whose prediction changes; ${test === "sufficiency" ? "low" : "high"} is faithful.`,
    x: { label: "Units (r)", scale: "log" },
    y: { label: "Changed predictions", format: "percent" },
    series: seriesOf(
      test,
      tests,
      (point) => point.changedPredictions,
      (point) => point.randomChangedPredictions,
    ),
  };
}

/** All curves, and the random control of the one with the most points (the draws of one size are the same for every method). */
function seriesOf(
  test: TestName,
  tests: readonly NeuronTest[],
  own: (point: FaithfulnessPoint) => Estimate,
  random: (point: FaithfulnessPoint) => Estimate,
): LineSeries[] {
  const pointsOf = (points: readonly FaithfulnessPoint[], value: (point: FaithfulnessPoint) => Estimate) =>
    points.map((point) => {
      const { mean, low, high } = value(point);
      return { x: point.r, y: mean, low, high };
    });
  return [
    ...tests.map((each) => ({ label: each.name, points: pointsOf(each[test].points, own) })),
    { label: "Random units", role: "control" as const, points: pointsOf(longestOf(test, tests).points, random) },
  ];
}

/** The curves as numbers, the longest one's random units last. */
function changesTable(test: TestName, tests: readonly NeuronTest[], notes: readonly string[] = []): ReportTable {
  const sizes = [...new Set(tests.flatMap((each) => each[test].points.map(({ r }) => r)))].sort((a, b) => a - b);
  const row = (
    name: string,
    { points }: NeuronFaithfulness,
    value: (point: FaithfulnessPoint) => Estimate,
    area: number,
  ): Cell[] => {
    const at = new Map(points.map((point) => [point.r, value(point).mean]));
    return [name, ...sizes.map((r) => rounded(at.get(r))), rounded(area)];
  };
  const longest = longestOf(test, tests);
  return {
    kind: "table",
    caption: `${titles[test]}, change of probability`,
    columns: [
      { label: "Method" },
      ...sizes.map((r) => ({ label: `r = ${r}`, digits: 3 })),
      { label: "Mean (AOPC)", digits: 3 },
    ],
    rows: [
      ...tests.map(({ name, [test]: result }) =>
        row(name, result, ({ probabilityChange }) => probabilityChange, result.aopc),
      ),
      row("Random units", longest, ({ randomProbabilityChange }) => randomProbabilityChange, longest.randomAopc),
    ],
    notes: [`${wanted[test]}.`, ...notes],
  };
}

/** A thousandth of probability is as fine as these tables say; the plots' numbers say all. */
export function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Math.round(1000 * value) / 1000;
}

function longestOf(test: TestName, tests: readonly NeuronTest[]): NeuronFaithfulness {
  return tests.map((each) => each[test]).reduce((a, b) => (b.points.length > a.points.length ? b : a));
}
