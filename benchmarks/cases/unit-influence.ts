// What made a unit: the training passages that are said to raise a neuron, or a head's induction, left out or given twice, against random
// ones, on a small decoder of tinyshakespeare's characters.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import {
  unitRemovalCurve,
  type UnitRemovalCurve,
  type UnitRemovalPoint,
} from "../../lib/faithfulness/unit-removal-curve";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { quantityValues } from "../../lib/instance/quantity";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { native } from "../../lib/native";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { createRandom } from "../../lib/random";
import { rowScores } from "../../lib/results/top";
import { mean } from "../../lib/statistics";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Quantity } from "../../types/quantity";
import type { Estimate, InstanceAttribution } from "../../types/results";
import { type Bar, type Benchmark, type Context, type Measurement } from "../benchmark";
import { dataFolder } from "../evaluation/state";

export interface Settings {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  /** Characters of a passage. */
  readonly length: number;
  /** Passages that the base model learns from, those that are attributed, and those that are asked. */
  readonly background: number;
  readonly train: number;
  readonly queries: number;
  readonly backgroundEpochs: number;
  readonly epochs: number;
  readonly fractions: readonly number[];
  readonly seeds: readonly number[];
  readonly controls: number;
}

const fullSettings: Settings = {
  hidden: 64,
  layers: 2,
  heads: 4,
  length: 48,
  background: 6000,
  train: 600,
  queries: 12,
  backgroundEpochs: 4,
  epochs: 3,
  fractions: [0.01, 0.05, 0.1],
  seeds: [1, 2, 3, 4, 5],
  controls: 3,
};
const quickSettings: Settings = {
  ...fullSettings,
  background: 1500,
  train: 200,
  backgroundEpochs: 2,
  epochs: 2,
  fractions: [0.05, 0.1],
  seeds: [1, 2, 3],
  controls: 2,
};

const corpus = "corpus/tinyshakespeare.txt";

export const unitInfluence: Benchmark = {
  name: "unit-influence",
  title:
    "what made a neuron and an induction head, tested by retraining without and with twice the most influential passages",
  run: (context) =>
    measureUnits(
      context.quick ? quickSettings : fullSettings,
      readFileSync(join(dataFolder([corpus]), corpus), "utf8"),
      context,
    ),
};

interface Subject {
  readonly base: Model;
  readonly tuned: Model;
  readonly train: Instances;
}

/** A quantity and the prompts that it is read on. */
interface Asked {
  readonly name: string;
  readonly of: Quantity;
  readonly queries: Instances;
}

const tuning = ({ epochs }: Settings) =>
  ({ epochs, batchSize: 16, learningRate: 1e-3, weightDecay: 0, dropout: false, schedule: "constant" }) as const;

export async function measureUnits(settings: Settings, text: string, { log }: Context): Promise<Measurement> {
  native().setThreads(1); // so small a model runs fastest on one thread
  const characters = [...new Set(text)].sort();
  const passages = passagesOf(text, characters, settings);
  using base = await baseModel(characters.length, passages.background, settings);
  using tuned = await fineTune(base, passages.train, { ...tuning(settings), seed: settings.seeds[0] });
  const subject = { base, tuned, train: passages.train };
  log(`base model: ${base.parameters} parameters; attributed: ${passages.train.size} passages`);
  const table: string[][] = [];
  const bars: Bar[] = [];
  const notes: string[] = [];
  const asked = [
    await neuronOf(tuned, passages.queries),
    await inductionOf(tuned, characters.length, settings.queries),
  ];
  for (const each of asked) {
    const curve = await curveOf(subject, each, settings, log);
    table.push(...rowsOf(each, curve));
    bars.push(...barsOf(each, curve));
    notes.push(
      `${each.name}: ${curve.before.toFixed(3)} before, ${curve.whole.mean.toFixed(3)} after training on everything; ${curve.trainings} trainings`,
    );
  }
  const loss = (await evaluate(tuned, passages.queries)).meanLoss;
  return {
    rows: [],
    table: { columns: ["quantity", "passages", "attribution", "shift", "random shift", "shift − random"], rows: table },
    ratio: bars.filter(({ holds }) => holds).length / bars.length,
    unit: "the bars that hold",
    bars,
    notes: [
      "Shifts of the quantity's mean over the prompts against training on everything with the same seed; means over seeds with 95 % bootstrap intervals.",
      "Batches are the same: a passage that is left out has loss weight 0, one that comes twice 2.",
      `The trained model has ${loss.toFixed(2)} nats per character on passages that it has not seen.`,
      ...notes,
    ],
    versions: {},
  };
}

/** Passages of `length` characters one after the other: for the base model, to attribute, to ask. */
function passagesOf(
  text: string,
  characters: readonly string[],
  { length, background, train, queries }: Settings,
): { background: Instances; train: Instances; queries: Instances } {
  const ids = new Map(characters.map((character, id) => [character, id]));
  const part = (first: number, count: number, name: string): Instances =>
    createInstances({
      kind: "causalLM",
      rows: Array.from({ length: count }, (_, i) =>
        Array.from(text.slice((first + i) * length, (first + i + 1) * length), (character) => ids.get(character)!),
      ),
      ids: Array.from({ length: count }, (_, i) => `${name} ${i}`),
    });
  return {
    background: part(0, background, "background"),
    train: part(background, train, "passage"),
    queries: part(background + train, queries, "prompt"),
  };
}

async function baseModel(vocabulary: number, passages: Instances, settings: Settings): Promise<Model> {
  const { hidden, layers, heads, backgroundEpochs } = settings;
  using untrained = await createModel(
    { model_type: "gpt2", vocab_size: vocabulary, n_positions: 64, n_embd: hidden, n_layer: layers, n_head: heads },
    { seed: 42 },
  );
  const how = { epochs: backgroundEpochs, batchSize: 16, learningRate: 3e-3, warmupSteps: 20, dropout: false };
  return await fineTune(untrained, passages, { ...how, seed: 42 });
}

/** The neuron that the prompts' predictions rest on most. */
async function neuronOf(model: Model, queries: Instances): Promise<Asked> {
  const scores = await integratedGradients(model, queries, { nodes: 4 });
  const sums = new Float64Array(scores.layers * scores.units);
  for (let row = 0; row < queries.size; row++) rowScores(scores, row).forEach((score, i) => (sums[i] += score));
  const best = sums.indexOf(Math.max(...sums));
  const [layer, unit] = [Math.floor(best / scores.units), best % scores.units];
  return { name: `neuron ${unit} of layer ${layer}`, of: { unit: { layer, unit } }, queries };
}

/** The head that looks most at what followed the last token's earlier occurrence, on random characters that come twice. */
async function inductionOf(model: Model, vocabulary: number, count: number): Promise<Asked> {
  const random = createRandom(42, 7);
  const [period, again] = [16, 8];
  const rows = Array.from({ length: count }, () => {
    const once = Array.from({ length: period }, () => random.below(vocabulary));
    return [...once, ...once.slice(0, again)];
  });
  const queries = createInstances({ kind: "causalLM", rows, ids: rows.map((_, i) => `repetition ${i}`) });
  const { layers, heads } = model.architecture;
  const all = Array.from({ length: layers * heads }, (_, i) => ({ layer: Math.floor(i / heads), unit: i % heads }));
  const found: { name: string; of: Quantity; weight: number }[] = [];
  for (const { layer, unit } of all) {
    const of = { attention: { layer, unit, to: again } }; // the last token stands at `again` − 1 before: its follower at `again`
    const weight = mean(await quantityValues(model, queries, of));
    found.push({ name: `induction of head ${unit} of layer ${layer}`, of, weight });
  }
  const [{ name, of }] = found.sort((a, b) => b.weight - a.weight);
  return { name, of, queries };
}

async function curveOf(
  { base, tuned, train }: Subject,
  { name, of, queries }: Asked,
  settings: Settings,
  log: (text: string) => void,
): Promise<UnitRemovalCurve> {
  const attributions: Record<string, InstanceAttribution> = {
    "EK-FAC": await influence(tuned, train, queries, { inverse: "ekfac", parameters: "linear", of }),
    "projected Gauss-Newton": await projectedGaussNewton(tuned, train, queries, { rank: 16, of }),
    "gradient cosine": await gradientSimilarity(tuned, train, queries, {
      parameters: "linear",
      similarity: "cosine",
      of,
    }),
  };
  const { fractions, seeds, controls } = settings;
  return unitRemovalCurve(base, train, queries, attributions, {
    of,
    fractions,
    seeds,
    controls,
    by: "weight",
    fineTune: tuning(settings),
    onProgress: ({ done, total }) => {
      if (done % 10 === 0) log(`${name}: ${done} of ${total} trainings`);
    },
  });
}

const shown = ({ mean: value, low, high }: Estimate): string =>
  [value, low, high].map((each) => each.toFixed(4)).reduce((a, b, at) => (at === 1 ? `${a} (${b}` : `${a} – ${b})`));

const passagesWord = ({ change, fraction, instances }: UnitRemovalPoint): string =>
  `${change}, ${(100 * fraction).toFixed(0)} % (${instances})`;

function rowsOf({ name }: Asked, { methods }: UnitRemovalCurve): string[][] {
  return methods.flatMap((method) =>
    method.points.map((point) => [
      name,
      passagesWord(point),
      method.name,
      shown(point.shift),
      shown(point.randomShift),
      shown(point.excess),
    ]),
  );
}

/** At the largest share EK-FAC's passages must move the quantity more than random ones, the interval clear of 0. */
function barsOf({ name }: Asked, { methods: [first] }: UnitRemovalCurve): Bar[] {
  const largest = Math.max(...first.points.map(({ fraction }) => fraction));
  return first.points
    .filter(({ fraction }) => fraction === largest)
    .map(({ change, excess, fraction }) => {
      const falls = change === "removed";
      return {
        name: `${name}: ${first.name}, ${change} ${100 * fraction} %, the interval's end nearer 0`,
        value: falls ? excess.high : excess.low,
        wanted: falls ? "< 0" : "> 0",
        holds: falls ? excess.high < 0 : excess.low > 0,
      };
    });
}
