// What the models learned: without held-out accuracy above the baseline there is nothing to attribute.
import type { LinePlot, ReportSection } from "../../../types/report";
import type { SubjectResults } from "../results";
import { nameOf } from "./names";

export function learningSection(subjects: readonly SubjectResults[]): ReportSection {
  const plot = (
    title: string,
    label: string,
    points: (subject: SubjectResults) => { x: number; y: number }[],
    percent = false,
  ): LinePlot => ({
    kind: "lines",
    title,
    x: { label: "Epoch" },
    y: percent ? { label, format: "percent" } : { label },
    series: subjects
      .map((subject) => ({ label: nameOf(subject, subjects), points: points(subject) }))
      .filter((series) => series.points.length > 0),
  });
  const plots = [
    plot("Loss in training", "Cross-entropy (nats)", ({ learning }) =>
      learning.losses.map(({ epoch, loss }) => ({ x: epoch, y: loss })),
    ),
    plot(
      "Accuracy on held-out rows",
      "Accuracy",
      ({ learning }) => learning.accuracies.map((y, epoch) => ({ x: epoch + 1, y })),
      true,
    ),
  ];
  return {
    title: "What the models learned",
    explanation: subjects[0].learning.shows,
    blocks: [
      {
        kind: "table",
        caption: "Accuracy on held-out rows",
        columns: [
          { label: "Model" },
          { label: "Rows about" },
          { label: "Rows", digits: 0 },
          { label: "Accuracy", digits: 3 },
          { label: "Majority baseline", digits: 3 },
        ],
        rows: subjects.flatMap((subject) =>
          subject.learning.groups.map(({ name, rows, accuracy, majority }) => [
            nameOf(subject, subjects),
            name,
            rows,
            accuracy,
            majority,
          ]),
        ),
        notes: [
          "Brackets: 95 % bootstrap interval over rows. The majority baseline always answers with the most frequent label.",
        ],
      },
      ...plots.filter(({ series }) => series.length > 0),
    ],
  };
}
