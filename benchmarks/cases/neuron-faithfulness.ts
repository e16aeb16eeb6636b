// A sufficiency and a comprehensiveness curve with random controls: one-token rows over the cache against a full forward per point.
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { sufficiency } from "../../lib/faithfulness/sufficiency";
import { type SetPlan, unitSets } from "../../lib/faithfulness/unit-sets";
import { evaluate } from "../../lib/model/evaluate";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { formatNumber } from "../../lib/report/format";
import type { Instances } from "../../types/data";
import type { NeuronAttribution, NeuronFaithfulness } from "../../types/results";
import { requireEqual } from "../agreement";
import { rowForwards } from "../arithmetic";
import { atLeast, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { memoryRows } from "../memory";
import { openReference, type Reference } from "../reference";
import { classifier, oneInstance, opt125m, type Shape, type Subject } from "../shapes";
import { type Contender, interleaved, seconds, timeRows } from "../timing";

export interface Settings {
  readonly shape: Shape;
  readonly lengths: readonly { readonly tokens: number; readonly repeats: number }[];
  readonly sizes: readonly number[];
  readonly controls: number;
  readonly rounds: number;
  readonly budgets: readonly number[];
}

const headlineTokens = 128;
/** Of the changes of the probability: their differences lose digits. */
const curveTolerance = 1e-4;
const common = { shape: opt125m, sizes: [1, 2, 5, 10, 20, 50, 100], controls: 10 };
const quickSettings: Settings = { ...common, lengths: [{ tokens: 128, repeats: 1 }], rounds: 3, budgets: [1024] };
const fullSettings: Settings = {
  ...common,
  lengths: [
    { tokens: 64, repeats: 3 },
    { tokens: 128, repeats: 3 },
    { tokens: 512, repeats: 1 },
  ],
  rounds: 7,
  budgets: [1024, 256],
};

export const neuronFaithfulness: Benchmark = {
  name: "neuron-faithfulness",
  title: "sufficiency and comprehensiveness curves with 10 random controls: against one full forward per point",
  run: (context) => measureCurves(context.quick ? quickSettings : fullSettings, context),
};

export async function measureCurves(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await classifier(settings.shape);
  await using reference = await openReference("neurons.py");
  await reference.ask("load", { directory: subject.directory });
  const rows: Row[] = [];
  const bars: Bar[] = [];
  const notes: string[] = [];
  for (const { tokens, repeats } of settings.lengths) {
    const curves = await Curves.of(settings, subject, reference, tokens);
    const contenders = curves.contenders(repeats);
    const measured = timeRows(
      `${tokens} tokens`,
      contenders,
      await interleaved(contenders, settings.rounds, context.log),
    );
    rows.push(...measured);
    if (tokens === headlineTokens)
      bars.push(atLeast("times faster than the faster full forwards", fasterFull(measured), 40));
    notes.push(
      curves.distance(measured),
      `${tokens} tokens: curves within ${curves.difference.toExponential(1)} of full forwards, relative to the largest change`,
    );
  }
  const tokens = [Array.from(oneInstance(settings.shape, headlineTokens).tokens)];
  const memory = await memoryRows(
    settings.budgets.map((budget) => ({
      group: `${headlineTokens} tokens`,
      directory: subject.directory,
      rows: tokens,
      budget,
      call: "curves" as const,
    })),
    context.log,
  );
  return {
    rows: [...rows, ...memory.rows],
    bars: [...bars, ...memory.bars],
    notes,
    versions: reference.versions,
    ratio: bars[0]?.value ?? fasterFull(rows),
    unit: `faster than one full forward per point (the faster of ours and PyTorch's), at ${headlineTokens} tokens`,
  };
}

/** The faster of the two full-forward contenders, over ours. */
const fasterFull = ([ours, , full, torch]: readonly Row[]): number => Math.min(full.median, torch.median) / ours.median;

/** Both curves of one instance, and the check that the contenders draw the same ones. */
class Curves {
  difference = 0;

  private constructor(
    private readonly settings: Settings,
    private readonly subject: Subject,
    private readonly reference: Reference,
    private readonly instances: Instances,
    private readonly attribution: NeuronAttribution,
    private readonly sets: readonly number[][],
  ) {}

  static async of(settings: Settings, subject: Subject, reference: Reference, tokens: number): Promise<Curves> {
    const instances = oneInstance(settings.shape, tokens);
    const attribution = await integratedGradients(subject.model, instances);
    const plan: SetPlan = { sizes: settings.sizes, controls: settings.controls, controlFrom: "site", seed: 42 };
    const { sets, offsets, units } = await unitSets(attribution, plan, () => Promise.resolve());
    const all = Array.from({ length: sets }, (_, set) => Array.from(units.subarray(offsets[set], offsets[set + 1])));
    await reference.ask("change_units", { tokens: Array.from(instances.tokens), label: 0, sets: [[0]], keep: true });
    return new Curves(settings, subject, reference, instances, attribution, all);
  }

  contenders(repeats: number): Contender[] {
    const { model } = this.subject;
    const points = `${2 * this.sets.length} points`;
    return [
      { name: `ours, ${points}`, run: () => this.ours("cache") },
      { name: "one plain forward, ours", run: () => seconds(() => evaluate(model, this.instances)) },
      { name: `full forwards, ours (engine: "full"), ${points}`, repeats, run: () => this.ours("full") },
      { name: `full forwards, PyTorch, ${points}`, repeats, run: () => this.torch() },
    ];
  }

  private drawn: { sufficiency: NeuronFaithfulness; comprehensiveness: NeuronFaithfulness } | undefined;

  private async ours(engine: "cache" | "full"): Promise<number> {
    const { model } = this.subject;
    const options = { r: this.settings.sizes, controls: this.settings.controls, engine };
    const start = performance.now();
    const curves = {
      sufficiency: await sufficiency(model, this.instances, this.attribution, options),
      comprehensiveness: await comprehensiveness(model, this.instances, this.attribution, options),
    };
    const taken = (performance.now() - start) / 1000;
    if (engine === "cache") this.drawn = curves;
    else this.agree("full", this.drawn!, changesOf(curves.sufficiency), changesOf(curves.comprehensiveness));
    return taken;
  }

  private async torch(): Promise<number> {
    const [tokens, label] = [Array.from(this.instances.tokens), this.attribution.targetLabels[0]];
    const unchanged = (await this.reference.ask<{ probabilities: number[] }>("forward", { tokens })).probabilities[
      label
    ];
    const ask = (keep: boolean): Promise<{ seconds: number; values: number[] }> =>
      this.reference.ask("change_units", { tokens, label, sets: this.sets, keep });
    const [kept, suppressed] = [await ask(true), await ask(false)];
    const changes = (values: readonly number[]): number[] => this.pointwise(values.map((value) => value - unchanged));
    this.agree("PyTorch", this.drawn!, changes(kept.values), changes(suppressed.values));
    return kept.seconds + suppressed.seconds;
  }

  /** Per size the change by the top set and the mean over its controls, as a curve has them. */
  private pointwise(changes: readonly number[]): number[] {
    const each = 1 + this.settings.controls;
    return this.settings.sizes.flatMap((_, at) => {
      const [top, ...random] = changes.slice(at * each, (at + 1) * each);
      return [top, random.reduce((sum, change) => sum + change, 0) / random.length];
    });
  }

  private agree(
    who: string,
    own: NonNullable<Curves["drawn"]>,
    kept: readonly number[],
    suppressed: readonly number[],
  ): void {
    const difference = Math.max(
      requireEqual(`sufficiency, ${who}`, changesOf(own.sufficiency), kept, curveTolerance),
      requireEqual(`comprehensiveness, ${who}`, changesOf(own.comprehensiveness), suppressed, curveTolerance),
    );
    this.difference = Math.max(this.difference, difference);
  }

  distance([ours, forward]: readonly Row[]): string {
    const tokens = this.instances.tokens.length;
    const needed = 2 * rowForwards(this.subject.model.architecture, tokens, this.sets.length);
    const taken = ours.median / forward.median;
    return (
      `${tokens} tokens: the arithmetic is at most ${formatNumber(needed)} forwards (two caches, ${2 * this.sets.length} one-token rows through all layers), ` +
      `ours takes ${formatNumber(taken)}, ${formatNumber(taken / needed)} × the arithmetic`
    );
  }
}

const changesOf = ({ points }: NeuronFaithfulness): number[] =>
  points.flatMap((point) => [point.probabilityChange.mean, point.randomProbabilityChange.mean]);
