// Integrated gradients of all neurons of all layers: ours against the usual per-layer procedure in PyTorch, stepwise and batched.
import { evaluate } from "../../lib/model/evaluate";
import { integratedGradients as attribute } from "../../lib/neuron/integrated-gradients";
import { gaussLegendre } from "../../lib/neuron/quadrature";
import { formatNumber } from "../../lib/report/format";
import type { Instances } from "../../types/data";
import type { NeuronAttribution } from "../../types/results";
import { relativeDifference, requireEqual } from "../agreement";
import { gradientForwards } from "../arithmetic";
import { atLeast, atMost, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { memoryRows } from "../memory";
import { floats, openReference, type Reference } from "../reference";
import { classifier, oneInstance, opt125m, type Shape, steadyPrompt, type Subject } from "../shapes";
import { type Contender, interleaved, seconds, timeRows } from "../timing";
import { captumContenders, type CaptumPeer, openCaptum } from "./integrated-gradients-peers";

export interface Settings {
  readonly shape: Shape;
  /** Prompt lengths in tokens, how often the slow procedures run at each, and the layers that they score; fewer than all are scaled up. */
  readonly lengths: readonly {
    readonly tokens: number;
    readonly repeats: number;
    readonly layers: readonly number[];
  }[];
  readonly rounds: number;
  readonly nodes: number;
  /** Budgets in MB whose peak is measured; none in tests. */
  readonly budgets: readonly number[];
  readonly peers: boolean;
}

/** The length that the bars speak of. */
const headlineTokens = 128;
const scoreTolerance = 1e-5;
/** Beyond this the contenders do not compute the same, whatever the rounding. */
const wrong = 1e-2;
/** A layer costs a forward of the whole and a backward down to it, linear in its place: two layers around the middle stand for all. */
const two = [2, 9];
const all = Array.from({ length: opt125m.num_hidden_layers }, (_, layer) => layer);

const quickSettings: Settings = {
  shape: opt125m,
  lengths: [
    { tokens: 64, repeats: 1, layers: two },
    { tokens: 128, repeats: 1, layers: two },
  ],
  rounds: 3,
  nodes: 20,
  budgets: [1024],
  peers: true,
};
const fullSettings: Settings = {
  shape: opt125m,
  lengths: [
    { tokens: 64, repeats: 1, layers: two },
    { tokens: 128, repeats: 1, layers: all },
    { tokens: 512, repeats: 1, layers: two },
  ],
  rounds: 9,
  nodes: 20,
  budgets: [1024, 256],
  peers: true,
};

export const integratedGradients: Benchmark = {
  name: "integrated-gradients",
  title: "all layers' neurons, 20 steps: against the usual per-layer procedure, stepwise and batched, and one forward",
  run: (context) => measureGradients(context.quick ? quickSettings : fullSettings, context),
};

export async function measureGradients(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await classifier(settings.shape);
  await using reference = await openReference("neurons.py");
  await reference.ask("load", { directory: subject.directory });
  await using captum = settings.peers ? await openCaptum(subject.directory, context) : undefined;
  const rows: Row[] = [];
  const bars: Bar[] = [];
  const notes: string[] = [];
  for (const { tokens, repeats, layers } of settings.lengths) {
    const { instances, skipped } = await steadyPrompt(
      settings.shape,
      tokens,
      subject,
      scoreTolerance / 2,
      settings.nodes,
    );
    const length = new Length(settings, layers, subject, reference, captum, instances);
    const contenders = await length.contenders(repeats);
    const measured = timeRows(
      `${tokens} tokens`,
      contenders,
      await interleaved(contenders, settings.rounds, context.log),
    );
    rows.push(...measured);
    await length.settle();
    if (tokens === headlineTokens) bars.push(...barsOf(measured, length.difference));
    notes.push(distance(tokens, settings, subject, measured), length.agreement(tokens, skipped));
  }
  const jobs = settings.budgets.map((budget) => ({
    group: `${headlineTokens} tokens`,
    directory: subject.directory,
    rows: tokensOf(settings, headlineTokens),
    budget,
    call: "integratedGradients" as const,
  }));
  const memory = await memoryRows(jobs, context.log);
  const peerNote = captum === undefined ? [] : [captum.note];
  return {
    rows: [...rows, ...memory.rows],
    bars: [...bars, ...memory.bars],
    notes: [...notes, ...peerNote, ...left],
    versions: { ...reference.versions, ...captum?.versions },
    ratio: bars[0]?.value ?? rows[1].timesOurs ?? Number.NaN,
    unit: `faster than (a), one forward and backward per layer and step, at ${headlineTokens} tokens`,
  };
}

const left = [
  "knowledge-neurons 0.0.2 was not run: by its source it reads language-model logits of GPT-2 and BERT kin only, and batches a layer's steps (10 at a time) much as (b) does",
  "inseq was not run: it is made for generated text, not for a classification head",
];

const tokensOf = ({ shape }: Settings, tokens: number): number[][] => [Array.from(oneInstance(shape, tokens).tokens)];

/** The contenders at one prompt length, and the check that they compute the same. */
class Length {
  /** Largest difference from the references, relative to the largest score. */
  difference = 0;
  private ours: NeuronAttribution | undefined;
  /** Layers in which PyTorch's float32 and ours differ, with its scores. */
  private readonly disputed = new Map<number, Float32Array>();
  private verdict = "";

  constructor(
    private readonly settings: Settings,
    private readonly layers: readonly number[],
    private readonly subject: Subject,
    private readonly reference: Reference,
    private readonly captum: CaptumPeer | undefined,
    private readonly instances: Instances,
  ) {}

  async contenders(repeats: number): Promise<Contender[]> {
    const { model } = this.subject;
    const {
      layers,
      settings: { nodes },
    } = this;
    const tokens = Array.from(this.instances.tokens);
    const ours = (this.ours = await attribute(model, this.instances, { nodes })); // and warms the engine
    await evaluate(model, this.instances);
    await this.reference.ask("forward", { tokens });
    for (const batched of [false, true]) await this.ask(tokens, ours, [0], 2, batched);
    const slow = (name: string, batched: boolean): Contender => ({
      name,
      repeats,
      scale: model.architecture.layers / layers.length,
      note: this.extrapolation(),
      run: () => this.runReference(tokens, ours, batched),
    });
    const peers =
      this.captum === undefined
        ? []
        : await captumContenders(this.captum, {
            tokens,
            ours,
            nodes,
            quick: layers.length < model.architecture.layers,
          });
    return [
      { name: "(c) ours", run: () => seconds(() => attribute(model, this.instances, { nodes })) },
      { name: "(d) one plain forward, ours", run: () => seconds(() => evaluate(model, this.instances)) },
      {
        name: "one plain forward, PyTorch",
        run: async () => (await this.reference.ask<{ seconds: number }>("forward", { tokens })).seconds,
      },
      slow("(a) usual procedure, batch one, PyTorch", false),
      slow(`(b) ${nodes} steps batched, PyTorch`, true),
      ...peers,
    ];
  }

  private async runReference(tokens: readonly number[], ours: NeuronAttribution, batched: boolean): Promise<number> {
    const {
      layers,
      settings: { nodes },
    } = this;
    const answer = await this.ask(tokens, ours, layers, nodes, batched);
    const theirs = floats(answer.scores);
    requireEqual(batched ? "(b)" : "(a)", scoresOf(ours, layers), theirs, wrong);
    const largest = largestOf(theirs);
    layers.forEach((layer, at) => {
      const own = theirs.subarray(at * ours.units, (at + 1) * ours.units);
      const difference = relativeDifference(scoresOf(ours, [layer]), own, largest);
      if (difference > scoreTolerance) this.disputed.set(layer, own);
      else this.difference = Math.max(this.difference, difference);
    });
    return answer.seconds;
  }

  /** Two float32 sums that put a ReLU on different sides of zero differ by more than rounding: float64 says which is right. */
  async settle(): Promise<void> {
    if (this.disputed.size === 0) return;
    const {
      ours,
      settings: { nodes },
    } = this;
    const layers = [...this.disputed.keys()].sort((a, b) => a - b);
    const exact = floats((await this.ask(Array.from(this.instances.tokens), ours!, layers, nodes, true, true)).scores);
    const theirs = layers.flatMap((layer) => Array.from(this.disputed.get(layer)!));
    const largest = largestOf(ours!.scores);
    const [own, other] = [
      relativeDifference(scoresOf(ours!, layers), exact, largest),
      relativeDifference(theirs, exact, largest),
    ];
    this.difference = Math.max(this.difference, own);
    this.verdict = `; in layer${layers.length === 1 ? "" : "s"} ${layers.join(", ")} PyTorch's float32 is ${other.toExponential(1)} from its own float64 and ours ${own.toExponential(1)}, so there float64 is what ours is held to`;
  }

  private ask(
    tokens: readonly number[],
    ours: NeuronAttribution,
    layers: readonly number[],
    count: number,
    batched: boolean,
    inFloat64 = false,
  ): Promise<{ seconds: number; scores: string }> {
    const { nodes, weights } = gaussLegendre(count);
    return this.reference.ask("integrated_gradients", {
      tokens,
      layers,
      label: ours.targetLabels[0],
      nodes: Array.from(nodes),
      weights: Array.from(weights),
      batched,
      in_float64: inFloat64,
    });
  }

  agreement(tokens: number, skipped: number): string {
    const passed =
      skipped === 0
        ? ""
        : `; ${skipped} random prompts passed over, whose ReLUs lie so near zero that float32 and float64 differ`;
    return `${tokens} tokens: scores within ${this.difference.toExponential(1)} of (a) and (b), relative to the largest${passed}${this.verdict}`;
  }

  private extrapolation(): string {
    const {
      layers,
      settings: { shape },
    } = this;
    return layers.length === shape.num_hidden_layers
      ? ""
      : `extrapolated from layers ${layers.join(" and ")} of ${shape.num_hidden_layers}`;
  }
}

const scoresOf = (ours: NeuronAttribution, layers: readonly number[]): Float32Array =>
  Float32Array.from(
    layers.flatMap((layer) => Array.from(ours.scores.subarray(layer * ours.units, (layer + 1) * ours.units))),
  );

const largestOf = (scores: Float32Array): number =>
  scores.reduce((largest, score) => Math.max(largest, Math.abs(score)), 0);

function barsOf(rows: readonly Row[], difference: number): Bar[] {
  const [ours, forward, , stepwise, batched] = rows;
  return [
    atLeast("times faster than (a)", stepwise.median / ours.median, 150),
    atLeast("times faster than (b)", batched.median / ours.median, 100),
    atMost("forward passes of ours", ours.median / forward.median, 3),
    atMost("relative difference from (a) and (b)", difference, scoreTolerance),
  ];
}

/** How far from the arithmetic: rows forward and input backward through the layers above theirs, beside one forward. */
function distance(tokens: number, { nodes }: Settings, { model }: Subject, [ours, forward]: readonly Row[]): string {
  const needed = gradientForwards(model.architecture, tokens, nodes);
  const taken = ours.median / forward.median;
  return (
    `${tokens} tokens: the arithmetic is ${formatNumber(needed)} forwards (${model.architecture.layers} × ${nodes} one-token rows through half the layers, forward and input backward, ` +
    `and the prompt's own), ours takes ${formatNumber(taken)}, ${formatNumber(taken / needed)} × the arithmetic`
  );
}
