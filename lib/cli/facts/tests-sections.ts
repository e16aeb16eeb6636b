// What changing units does: the refined units' table and bars, and the curves of every method.
import type { NeuronFaithfulness } from "../../../types/results";
import type { BarPlot, LinePlot, ReportSection, ReportTable } from "../../../types/report";
import type { NeuronTest } from "./curves";
import { unitKinds, type UnitKind } from "./attributing";
import { changes, groups, type Changed } from "./changing";
import type { FactsFindings } from "./findings";

export function changeSection({
  changed,
  size: {
    controls,
    refining: { most },
  },
}: FactsFindings): ReportSection {
  const others = groups.slice(2).some((group) => changed.some((row) => row.group === group));
  return {
    title: "Do the units hold the fact?",
    explanation: `Each fact's refined units, then its specific ones (at most ${most} each), are set to zero (suppressed) or doubled at the last position, beside ${controls} draws of as many random units of the same layers. Units that hold this fact alone change its answer's probability, in phrasings kept out too, and leave that of other facts alone.`,
    blocks: [
      {
        kind: "table",
        caption: "Change of the answer's probability",
        columns: [
          { label: "Units" },
          { label: "Asked" },
          { label: "Questions", digits: 0 },
          { label: "Before", digits: 3 },
          { label: "Change", digits: 3 },
          { label: "Change, random units", digits: 3 },
          { label: "Other answer", unit: "%", digits: 1 },
          { label: "Other answer, random units", unit: "%", digits: 1 },
        ],
        rows: changed.map((row) => [
          `${row.kind}, ${row.change}`,
          row.group,
          row.questions,
          row.before,
          row.chosen,
          row.random,
          100 * row.chosenFlips,
          100 * row.randomFlips,
        ]),
        notes: [
          "Means over facts with 95 % bootstrap intervals. Other answer: share of questions whose most probable token changes.",
          others
            ? "Other facts have another answer and took no part in choosing the units."
            : "All known facts were attributed or compared with, so that none is left as the other facts.",
        ],
      },
      ...changes.flatMap((change) => changeBars(change, changed)),
    ],
  };
}

export function saidSection({ said, kept: { facts }, size: { tokens } }: FactsFindings): ReportSection[] {
  if (said.length === 0) return [];
  return [
    {
      title: "What does it say without them?",
      explanation: `The model goes on greedily for ${tokens} tokens, as it is and with the fact's refined or specific units suppressed from the question's last token on. The question is one of the phrasings kept out.`,
      blocks: [
        {
          kind: "table",
          caption: "Continuations",
          columns: [
            { label: "Fact" },
            { label: "Question" },
            { label: "As it is" },
            { label: "Without the refined units" },
            { label: "Without the specific ones" },
          ],
          rows: said.map(({ fact, question, before, after }) => [
            facts[fact].id,
            question,
            before.trim(),
            after.refined?.trim() ?? null,
            after.specific?.trim() ?? null,
          ]),
        },
      ],
    },
  ];
}

function changeBars(change: Changed["change"], all: readonly Changed[]): BarPlot[] {
  const of = (kind: UnitKind) =>
    groups.flatMap((group) => all.filter((row) => row.kind === kind && row.change === change && row.group === group));
  const asked = groups.filter((group) => unitKinds.every((kind) => of(kind).some((row) => row.group === group)));
  if (asked.length === 0) return [];
  return [
    {
      kind: "bars",
      title: `Units ${change}`,
      x: { label: "Asked" },
      y: { label: "Change of probability" },
      categories: asked,
      series: [
        { label: "Refined units", values: of("refined").map(({ chosen }) => chosen) },
        { label: "Specific units", values: of("specific").map(({ chosen }) => chosen) },
        {
          label: "Random units, layers of the refined",
          role: "control",
          values: of("refined").map(({ random }) => random),
        },
      ],
    },
  ];
}

export function curveSections({
  curves,
  model: {
    architecture: { layers, intermediate, heads },
  },
}: FactsFindings): ReportSection[] {
  const section = (
    title: string,
    units: string,
    tests: readonly NeuronTest[],
    notes: readonly string[],
  ): ReportSection => ({
    title,
    explanation: `Sufficiency keeps only the top r of the ${units} at the last position and zeroes the rest, so the answer's probability should hardly change; comprehensiveness zeroes the top r, so it should fall. A faithful method stands clear of random units.`,
    blocks: [curve("sufficiency", tests), curve("comprehensiveness", tests), valuesTable(tests, notes)],
  });
  return [
    section("Which neurons does the answer rest on?", `${layers * intermediate} neurons`, curves.neurons, [
      "Ablation and log-probability increase of every single neuron take minutes per question in a model of this size; they stand with the heads.",
    ]),
    section("Which heads does it rest on?", `${layers * heads} heads`, curves.heads, []),
  ];
}

type TestName = NeuronFaithfulness["test"];

function curve(test: TestName, tests: readonly NeuronTest[]): LinePlot {
  const points = (each: NeuronTest, field: "probabilityChange" | "randomProbabilityChange") =>
    each[test].points.map((point) => ({
      x: point.r,
      y: point[field].mean,
      low: point[field].low,
      high: point[field].high,
    }));
  return {
    kind: "lines",
    title: test === "sufficiency" ? "Sufficiency: keep only the top r" : "Comprehensiveness: remove the top r",
    caption: `${test === "sufficiency" ? "Near 0" : "Far below 0"} is faithful. Means over facts, bands are 95 % bootstrap intervals.`,
    x: { label: "Units (r)", scale: "log" },
    y: { label: "Change of probability" },
    series: [
      ...tests.map((each) => ({ label: each.name, points: points(each, "probabilityChange") })),
      { label: "Random units", role: "control", points: points(tests[0], "randomProbabilityChange") },
    ],
  };
}

/** Comprehensiveness at every r, and both means. */
function valuesTable(tests: readonly NeuronTest[], notes: readonly string[]): ReportTable {
  const [{ sufficiency, comprehensiveness }] = tests;
  const points = comprehensiveness.points;
  const row = (name: string, kept: number, removed: number, values: readonly number[]) => [
    name,
    kept,
    removed,
    ...values,
  ];
  return {
    kind: "table",
    caption: "Mean change of probability over each curve, and of comprehensiveness at each r",
    columns: [
      { label: "Method" },
      { label: "Sufficiency", digits: 3 },
      { label: "Comprehensiveness", digits: 3 },
      ...points.map(({ r }) => ({ label: `r = ${r}`, digits: 3 })),
    ],
    rows: [
      ...tests.map((each) =>
        row(
          each.name,
          each.sufficiency.aopc,
          each.comprehensiveness.aopc,
          each.comprehensiveness.points.map((point) => point.probabilityChange.mean),
        ),
      ),
      row(
        "Random units",
        sufficiency.randomAopc,
        comprehensiveness.randomAopc,
        points.map((point) => point.randomProbabilityChange.mean),
      ),
    ],
    notes,
  };
}
