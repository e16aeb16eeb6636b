// The two views beside each other: what they choose in common, how many different entries, and how varied these are.
import type { Cell, HeatMap, ReportSection } from "../../../types/report";
import type { OverlapMatrix, SubjectResults } from "../results";
import { nameOf } from "./names";

export function overlapSection(subjects: readonly SubjectResults[]): ReportSection {
  const distinct = subjects.flatMap((subject) =>
    subject.distinct.map(({ of, method, chosen, distinct: different, expected }): Cell[] => [
      nameOf(subject, subjects),
      of === "rows" ? "training rows" : "neurons",
      method,
      chosen,
      different,
      expected === null ? null : Math.round(expected),
    ]),
  );
  return {
    title: "Do instances and neurons agree?",
    explanation:
      "The two alignments make both views comparable. A cell is the share of a query's top 10 that two methods have in common, averaged over queries.",
    blocks: [
      ...subjects.flatMap((subject) => [
        matrix(`Training rows in common: ${nameOf(subject, subjects)}`, subject.instanceOverlap),
        matrix(`Neurons in common: ${nameOf(subject, subjects)}`, subject.neuronOverlap),
      ]),
      {
        kind: "table",
        caption: "Different entries among the top 10 of all queries",
        columns: [
          { label: "Model" },
          { label: "Of" },
          { label: "Method" },
          { label: "Chosen", digits: 0 },
          { label: "Different", digits: 0 },
          { label: "By independent chance", digits: 0 },
        ],
        rows: distinct,
        notes: [
          "Few different ones: the method gives most queries the same entries. IA-Neurons: top 5 neurons of each of the 10 most influential rows.",
        ],
      },
    ],
  };
}

function matrix(title: string, { names, values, chance, k }: OverlapMatrix): HeatMap {
  return {
    kind: "heatMap",
    title,
    caption: `Two independent random choices of ${k} would share ${(100 * chance).toFixed(1)} %.`,
    x: { label: "Method" },
    y: { label: "Method" },
    columns: names.map((_, at) => String(at + 1)),
    rows: names.map((name, at) => `${at + 1} ${name}`),
    values: values.map((row) => row.map(({ mean }) => mean)),
    valueLabel: "Share in common",
    format: "percent",
  };
}

export function diversitySection(subjects: readonly SubjectResults[]): ReportSection {
  const rows = subjects.flatMap((subject) =>
    subject.diversity.map(({ method, distinctRows, distinctTokens, meanLength, meanLoss, meanCosine }): Cell[] => [
      nameOf(subject, subjects),
      method,
      distinctRows,
      distinctTokens,
      meanLength,
      meanLoss,
      meanCosine,
    ]),
  );
  const correlations = subjects.flatMap((subject) =>
    subject.diversityCorrelation.map(({ measure, pairs, spearman }): Cell[] => [
      nameOf(subject, subjects),
      measure,
      pairs,
      spearman,
    ]),
  );
  const isKnown = correlations.some((row) => row[3] !== null);
  return {
    title: "How varied are the chosen training rows?",
    explanation:
      "The paper finds that neurons lead to more varied rows than gradients do. Many different rows and words and a low cosine are varied.",
    blocks: [
      {
        kind: "table",
        caption: "The top 10 rows of all queries together",
        columns: [
          { label: "Model" },
          { label: "Method" },
          { label: "Different rows", digits: 0 },
          { label: "Different tokens", digits: 0 },
          { label: "Mean length", unit: "tokens" },
          { label: "Mean loss", unit: "nats" },
          { label: "Mean cosine of states", digits: 3 },
        ],
        rows,
      },
      ...(isKnown
        ? [
            {
              kind: "table" as const,
              caption: "Does variety go with accuracy after tuning?",
              columns: [
                { label: "Model" },
                { label: "Measure of variety" },
                { label: "Shares", digits: 0 },
                { label: "Spearman's correlation", digits: 2 },
              ],
              rows: correlations,
              notes: [
                "Over shares of one size by different methods, then averaged over sizes. With so few shares, only values near 1 or −1 say something.",
              ],
            },
          ]
        : []),
    ],
  };
}
