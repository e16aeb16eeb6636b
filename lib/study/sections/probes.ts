// Rows of another distribution, the queries on which the two views disagree, and the scores under re-drawn weights.
import type { Cell, ReportBlock, ReportSection } from "../../../types/report";
import type { OutOfDistributionResults, SubjectResults } from "../results";
import { nameOf, percent, rounded } from "./names";

export function outOfDistributionSection(subjects: readonly SubjectResults[]): ReportSection | undefined {
  const found = subjects.flatMap((subject) =>
    subject.outOfDistribution === null ? [] : [{ name: nameOf(subject, subjects), ...subject.outOfDistribution }],
  );
  if (found.length === 0) return undefined;
  return {
    title: "What do they get wrong on another distribution?",
    explanation: `Here: ${found[0].is}. For the rows that a model gets wrong, this asks which training rows and neurons its answer comes from.`,
    blocks: [
      {
        kind: "table",
        caption: "Another distribution",
        columns: [
          { label: "Model" },
          { label: "Rows", digits: 0 },
          { label: "Accuracy", digits: 3 },
          { label: "Top 10 rows with the predicted label", digits: 3 },
          { label: "By chance", digits: 3 },
          { label: "Top 10 neurons shared with the queries' most frequent", digits: 3 },
          { label: "By chance ", digits: 3 },
        ],
        rows: found.map(
          ({
            name,
            rows,
            accuracy,
            sharePredictedLabel,
            chancePredictedLabel,
            sharedNeurons,
            chanceNeurons,
          }): Cell[] => [name, rows, accuracy, sharePredictedLabel, chancePredictedLabel, sharedNeurons, chanceNeurons],
        ),
        notes: [
          "The last four columns are of the rows that the model gets wrong. Brackets: 95 % bootstrap interval over rows.",
        ],
      },
      predictionTable(found),
      ...found.flatMap(exampleTable),
    ],
  };
}

type Found = OutOfDistributionResults & { readonly name: string };

function predictionTable(found: readonly Found[]): ReportBlock {
  return {
    kind: "table",
    caption: "What is predicted, and how often wrongly",
    columns: [{ label: "Model" }, { label: "Predicted" }, { label: "Rows", digits: 0 }, { label: "Wrong", digits: 0 }],
    rows: found.flatMap(({ name, byPrediction }) =>
      byPrediction.map(({ label, rows, wrong }): Cell[] => [name, label, rows, wrong]),
    ),
  };
}

function exampleTable({ name, examples }: Found): ReportBlock[] {
  if (examples.length === 0) return [];
  return [
    {
      kind: "table",
      caption: `Wrong rows and the training rows they come from: ${name}`,
      columns: [{ label: "Row" }, { label: "Predicted" }, { label: "Most influential training rows" }],
      rows: examples.map(({ text, predicted, probability, rows }): Cell[] => [
        text,
        `${predicted} (${percent(probability)})`,
        rows.join("\n"),
      ]),
    },
  ];
}

export function conflictsSection(subjects: readonly SubjectResults[]): ReportSection {
  const counts = subjects.map((subject): Cell[] => {
    const count = (what: string) => subject.conflicts.filter(({ restsOn }) => restsOn === what).length;
    return [nameOf(subject, subjects), subject.conflicts.length, count("NA"), count("IA"), count("neither")];
  });
  return {
    title: "Where the two views part",
    explanation:
      "These are the queries whose two rankings of the training rows agree least. Removing each side's neurons decides: the prediction rests on those whose loss costs more.",
    blocks: [
      {
        kind: "table",
        caption: "How often each view is right",
        columns: [
          { label: "Model" },
          { label: "Conflicts", digits: 0 },
          { label: "Its own neurons (NA)", digits: 0 },
          { label: "Neurons of the rows (IA)", digits: 0 },
          { label: "Neither", digits: 0 },
        ],
        rows: counts,
        notes: ["Neither: the two changes differ by less than 0.01."],
      },
      ...subjects.map((subject): ReportBlock => ({
        kind: "table",
        caption: `The largest conflicts: ${nameOf(subject, subjects)}`,
        columns: [
          { label: "Query" },
          { label: "Rank correlation", digits: 2 },
          { label: "Neurons removed", digits: 0 },
          { label: "Change without NA's", digits: 3 },
          { label: "without IA-Neurons", digits: 3 },
          { label: "without random ones", digits: 3 },
          { label: "Rests on" },
        ],
        rows: subject.conflicts
          .slice(0, 5)
          .map(({ query, correlation, r, withoutNa, withoutIa, withoutRandom, restsOn }): Cell[] => [
            subject.queries[query].text,
            correlation,
            r,
            Number(rounded(withoutNa, 3).replace("−", "-")),
            Number(rounded(withoutIa, 3).replace("−", "-")),
            Number(rounded(withoutRandom, 3).replace("−", "-")),
            restsOn,
          ]),
        notes: ["Change of the predicted class's probability."],
      })),
    ],
  };
}

export function sanitySection(subjects: readonly SubjectResults[]): ReportSection | undefined {
  const rows = subjects.flatMap((subject) =>
    subject.sanity.map(({ method, of, correlation }): Cell[] => [
      nameOf(subject, subjects),
      of === "rows" ? "training rows" : "neurons",
      method,
      correlation,
    ]),
  );
  if (rows.length === 0) return undefined;
  return {
    title: "Are the scores about the model?",
    explanation:
      "The same scores are computed under a model with re-drawn weights. A method that is about what the model learned must then give other scores: a correlation near 0.",
    blocks: [
      {
        kind: "table",
        caption: "Rank correlation with the scores under re-drawn weights",
        columns: [{ label: "Model" }, { label: "Of" }, { label: "Method" }, { label: "Correlation", digits: 3 }],
        rows,
        notes: [
          "Mean over queries with a 95 % bootstrap interval. Far from 0: the method says the same of a model that learned nothing.",
        ],
      },
    ],
  };
}
