// Every single neuron of the model ablated: one-token rows over the cache against full forwards (extrapolated from a sample).
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { evaluate } from "../../lib/model/evaluate";
import { ablation as ablate } from "../../lib/neuron/ablation";
import { createRandom, sampleWithout } from "../../lib/random";
import { formatNumber } from "../../lib/report/format";
import type { Instances } from "../../types/data";
import type { NeuronAttribution } from "../../types/results";
import { requireEqual } from "../agreement";
import { ablationForwards } from "../arithmetic";
import { atLeast, atMost, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { openReference, type Reference } from "../reference";
import { classifier, oneInstance, opt125m, type Shape, type Subject } from "../shapes";
import { type Contender, interleaved, seconds, timeRows } from "../timing";

export interface Settings {
  readonly shape: Shape;
  readonly tokens: number;
  /** Neurons that the full forwards ablate; the rest is extrapolated. */
  readonly sample: number;
  readonly rounds: number;
  /** Repeats of the full forwards. */
  readonly repeats: number;
}

/** Two libraries sum in different orders: float32 gives 1e-6; the project holds its paths to 1e-5 of each other. */
const probabilityTolerance = 1e-5;
/** Ablating one neuron changes the probability by little: its difference keeps few of float32's digits. */
const changeTolerance = 1e-2;
const quickSettings: Settings = { shape: opt125m, tokens: 128, sample: 20, rounds: 1, repeats: 1 };
const fullSettings: Settings = { shape: opt125m, tokens: 128, sample: 200, rounds: 3, repeats: 3 };

export const ablation: Benchmark = {
  name: "ablation",
  title: "every single neuron of the model ablated: against full forwards (extrapolated from 200)",
  run: (context) => measureAblation(context.quick ? quickSettings : fullSettings, context),
};

export async function measureAblation(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await classifier(settings.shape);
  await using reference = await openReference("neurons.py");
  await reference.ask("load", { directory: subject.directory });
  const instances = oneInstance(settings.shape, settings.tokens);
  const scores = await ablate(subject.model, instances);
  await reference.ask("change_units", { tokens: Array.from(instances.tokens), label: 0, sets: [[0]], keep: false });
  const difference = { largest: 0 };
  const contenders = contendersOf(settings, subject, reference, instances, scores, difference);
  const rows = timeRows(
    `${settings.tokens} tokens`,
    contenders,
    await interleaved(contenders, settings.rounds, context.log),
  );
  const [ours, , full, torch] = rows;
  const ratio = Math.min(full.median, torch.median) / ours.median;
  return {
    rows,
    ratio,
    unit: `faster than a full forward per neuron (the faster of ours and PyTorch's), at ${settings.tokens} tokens`,
    versions: reference.versions,
    bars: [
      atLeast("times faster than full forwards", ratio, 200),
      atMost("difference from PyTorch, relative to the largest of the sample", difference.largest, changeTolerance),
    ],
    notes: [distance(settings, subject, rows)],
  };
}

function contendersOf(
  { sample, repeats }: Settings,
  { model }: Subject,
  reference: Reference,
  instances: Instances,
  scores: NeuronAttribution,
  difference: { largest: number },
): Contender[] {
  const all = scores.layers * scores.units;
  const units = Array.from(sampleWithout(all, sample, createRandom(11)));
  const [tokens, label] = [Array.from(instances.tokens), scores.targetLabels[0]];
  const torch = async (): Promise<number> => {
    const answer = await reference.ask<{ seconds: number; values: number[] }>("change_units", {
      tokens,
      label,
      sets: units.map((unit) => [unit]),
      keep: false,
    });
    const own = units.map((unit) => scores.targetValues[0] - scores.scores[unit]);
    // Probabilities, which both know to all digits; then what ablation changed, relative to the largest change of the sample.
    requireEqual("the ablated model's probabilities", own, answer.values, probabilityTolerance);
    const changes = units.map((unit) => scores.scores[unit]);
    difference.largest = requireEqual(
      "ablation",
      changes,
      answer.values.map((value) => scores.targetValues[0] - value),
      changeTolerance,
    );
    return answer.seconds;
  };
  const extrapolated = { repeats, scale: all / sample, note: `extrapolated from ${sample} forwards` };
  return [
    { name: `ours, ${all} neurons`, run: () => seconds(() => ablate(model, instances)) },
    { name: "one plain forward, ours", run: () => seconds(() => evaluate(model, instances)) },
    {
      name: 'full forwards, ours (engine: "full")',
      run: () =>
        seconds(() => comprehensiveness(model, instances, scores, { r: [1], controls: sample - 1, engine: "full" })),
      ...extrapolated,
    },
    { name: "full forwards, PyTorch", run: torch, ...extrapolated },
  ];
}

function distance({ tokens }: Settings, { model }: Subject, [ours, forward]: readonly Row[]): string {
  const needed = ablationForwards(model.architecture, tokens);
  const taken = ours.median / forward.median;
  return `the arithmetic is ${formatNumber(needed)} forwards (a one-token row per neuron through half the layers), ours takes ${formatNumber(taken)}, ${formatNumber(taken / needed)} × the arithmetic`;
}
