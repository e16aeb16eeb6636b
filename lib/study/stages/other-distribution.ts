// What a subject gets wrong on another distribution, and what its wrong answers come from.
import type { NeuronAttribution } from "../../../types/results";
import { top } from "../../results/top";
import { bootstrapMean } from "../../statistics";
import type { OutOfDistributionResults } from "../results";
import type { Subject } from "../subject";
import type { OutOfDistribution } from "./probe";
import { textOf } from "./queries";

const k = 10;

export function outOfDistributionOf(
  subject: Subject,
  found: OutOfDistribution | undefined,
  ofQueries: NeuronAttribution,
): OutOfDistributionResults | null {
  if (found === undefined) return null;
  const {
    data,
    definition: { seed },
  } = subject;
  const right = data.outOfDistribution.map((_, row) =>
    Number(data.outOfDistributionRight[row].includes(found.predictions[row])),
  );
  const nameOf = (label: number): string => data.labels[label] ?? `choice ${label + 1}`;
  const predicted = found.wrong.map((row) => found.predictions[row]);
  const labelShare = (label: number) => data.train.filter((row) => row.label === label).length / data.train.length;
  const { instances, neurons } = found;
  const lists =
    instances === undefined
      ? []
      : predicted.map((_, row) => top(instances, row, k).map(({ index }) => data.train[index]));
  return {
    is: data.outOfDistributionIs,
    rows: data.outOfDistribution.length,
    accuracy: bootstrapMean(right, { seed }),
    byPrediction: [...new Set(found.predictions)]
      .sort((a, b) => a - b)
      .map((label) => {
        const rows = right.filter((_, row) => found.predictions[row] === label);
        return { label: nameOf(label), rows: rows.length, wrong: rows.filter((each) => each === 0).length };
      }),
    sharePredictedLabel:
      lists.length === 0
        ? null
        : bootstrapMean(
            lists.map((list, row) => list.filter(({ label }) => label === predicted[row]).length / list.length),
            { seed },
          ),
    chancePredictedLabel:
      predicted.length === 0 ? 0 : predicted.reduce((sum, label) => sum + labelShare(label), 0) / predicted.length,
    ...(neurons === undefined ? { sharedNeurons: null, chanceNeurons: 0 } : sharedNeurons(neurons, ofQueries, seed)),
    examples: found.wrong.slice(0, 5).map((row, at) => ({
      text: textOf(data.outOfDistribution[row]),
      predicted: nameOf(found.predictions[row]),
      probability: found.probabilities[row],
      rows: (lists[at] ?? []).slice(0, 3).map((row) => `${textOf(row)} (${nameOf(row.label)})`),
    })),
  };
}

/** Share of a wrong row's top neurons that are among the k neurons that the queries choose most often. */
function sharedNeurons(
  neurons: NeuronAttribution,
  ofQueries: NeuronAttribution,
  seed: number,
): Pick<OutOfDistributionResults, "sharedNeurons" | "chanceNeurons"> {
  const counts = new Map<number, number>();
  for (let row = 0; row < ofQueries.instances; row++)
    for (const { index } of top(ofQueries, row, k)) counts.set(index, (counts.get(index) ?? 0) + 1);
  const common = new Set(
    [...counts]
      .sort(([, a], [, b]) => b - a)
      .slice(0, k)
      .map(([index]) => index),
  );
  const shares = Array.from(
    { length: neurons.instances },
    (_, row) => top(neurons, row, k).filter(({ index }) => common.has(index)).length / k,
  );
  return {
    sharedNeurons: bootstrapMean(shares, { seed }),
    chanceNeurons: Math.min(1, k / (neurons.layers * neurons.units)),
  };
}
