// What the model learned: without held-out accuracy above the baseline there is nothing to attribute.
import { bootstrapMean } from "../../../statistics";
import type { LinePlot, PlotPoint, ReportBlock, ReportSection, ReportTable } from "../../../../types/report";
import { majorityShare } from "../claims";
import type { Subject } from "../subject";

export function learningSection(subject: Subject, seed: number): ReportSection {
  return {
    title: "What the model learned",
    explanation: subject.data.heldOutShows,
    blocks: [accuracyTable(subject, seed), ...historyPlots(subject)],
  };
}

function accuracyTable({ data, heldOut, heldOutEvaluation }: Subject, seed: number): ReportTable {
  const right = data.heldOut.map(({ label }, index) => Number(heldOutEvaluation.predictions[index] === label));
  const groups = [...new Set(data.heldOut.map(({ group }) => group))];
  const rowOf = (name: string, members: readonly number[]) => [
    name,
    members.length,
    bootstrapMean(
      members.map((index) => right[index]),
      { seed },
    ),
    majorityShare(members.map((index) => data.heldOut[index])),
  ];
  const everyone = [...data.heldOut.keys()];
  const rows =
    groups.length < 2
      ? []
      : groups.map((group) =>
          rowOf(
            group ?? "others",
            everyone.filter((index) => data.heldOut[index].group === group),
          ),
        );
  return {
    kind: "table",
    caption: "Accuracy on held-out claims",
    columns: [
      { label: "Claims about" },
      { label: "Claims" },
      { label: "Accuracy", digits: 3 },
      { label: "Majority baseline", digits: 3 },
    ],
    rows: [...rows, rowOf("all", everyone)],
    notes: [
      `Brackets: 95 % bootstrap interval over claims. The majority baseline always answers with the most frequent label. ${heldOut.size} claims, labels ${data.labels.join(" and ")}.`,
    ],
  };
}

function historyPlots({ history, train, tuning }: Subject): ReportBlock[] {
  if (history === undefined) return [];
  const steps = history.losses.length / history.evaluationAccuracies.length;
  const losses: LinePlot = {
    kind: "lines",
    title: "Loss in training",
    caption: `Mean over each half of an epoch; ${train.size} claims, batches of ${tuning.batchSize ?? 8}.`,
    x: { label: "Epoch" },
    y: { label: "Cross-entropy (nats)" },
    series: [{ label: "Training", points: smoothed(history.losses, steps, 2) }],
  };
  const accuracies: LinePlot = {
    kind: "lines",
    title: "Accuracy on held-out claims",
    x: { label: "Epoch" },
    y: { label: "Accuracy", format: "percent" },
    series: [
      {
        label: "Held-out claims",
        points: Array.from(history.evaluationAccuracies, (y, epoch) => ({ x: epoch + 1, y })),
      },
    ],
  };
  return [losses, accuracies];
}

function smoothed(losses: Float64Array, stepsPerEpoch: number, perEpoch: number): PlotPoint[] {
  const width = Math.max(1, Math.floor(stepsPerEpoch / perEpoch));
  return Array.from({ length: Math.ceil(losses.length / width) }, (_, at) => {
    const part = losses.subarray(at * width, (at + 1) * width);
    return {
      x: (at * width + part.length / 2) / stepsPerEpoch,
      y: part.reduce((sum, loss) => sum + loss, 0) / part.length,
    };
  });
}
