// How near attribution patching comes to patching: every neuron and head patched one by one, against the estimates by each backward rule.
import { selectInstances } from "../../lib/data/instances";
import { capture } from "../../lib/model/capture";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { ablation } from "../../lib/neuron/ablation";
import { attributionPatching, type AttributionPatchingOptions } from "../../lib/neuron/attribution-patching";
import { intervene } from "../../lib/neuron/intervene";
import { rowScores } from "../../lib/results/top";
import { bootstrapMean, pacedBootstrapOf, pearson } from "../../lib/statistics";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, NeuronAttribution } from "../../types/results";
import { atLeast, type Benchmark, type Context, type Measurement } from "../benchmark";
import { madePairs, type MadePairs } from "../evaluation/made-pairs";
import { seconds } from "../timing";

export interface Settings {
  readonly sentences: number;
  readonly pairs: number;
  readonly epochs: number;
  readonly layers: number;
  readonly hidden: number;
  readonly seed: number;
}

const fullSettings: Settings = { sentences: 4000, pairs: 48, epochs: 6, layers: 4, hidden: 64, seed: 42 };
const quickSettings: Settings = { ...fullSettings, sentences: 1500, pairs: 12, epochs: 4, layers: 3 };

export const attributionPatchingCase: Benchmark = {
  name: "attribution-patching",
  title: "correlation with patching every neuron and head one by one, by backward rule, on small trained models",
  run: (context) => measurePatching(context.quick ? quickSettings : fullSettings, context),
};

const shapes = (settings: Settings, vocabulary: number) => {
  const { layers, hidden } = settings;
  const gpt2 = {
    model_type: "gpt2",
    vocab_size: vocabulary,
    n_positions: 32,
    n_embd: hidden,
    n_layer: layers,
    n_head: 4,
  };
  const llama = {
    model_type: "llama",
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: 3 * hidden,
    num_hidden_layers: layers,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 32,
  };
  return { "GPT-2-shaped": gpt2, "Llama-shaped": llama };
};

const rules: Readonly<Record<string, AttributionPatchingOptions>> = {
  gradient: {},
  relp: { rule: "relp" },
  "relp, attention detached": { rule: "relp", attention: "detached" },
  gim: { rule: "gim" },
};

const groups = ["neurons", "heads", "MLP outputs", "attention outputs"] as const;

export async function measurePatching(settings: Settings, { log }: Context): Promise<Measurement> {
  const pairs = await madePairs(settings.sentences, settings.pairs, settings.seed);
  const table: string[][] = [];
  const notes: string[] = [];
  const relp: number[] = [];
  for (const [name, shape] of Object.entries(shapes(settings, pairs.tokenizer.size))) {
    using model = await trained(shape, pairs, settings);
    const answered = (await evaluate(model, pairs.prompts)).predictions.filter(
      (id, i) => id === pairs.answers[i],
    ).length;
    const units = model.architecture.layers * (model.architecture.intermediate + model.architecture.heads);
    let exact: Exact | undefined;
    const taken = await seconds(async () => (exact = await patched(model, pairs)));
    log(`${name}: ${units} units patched on ${settings.pairs} pairs in ${taken.toFixed(1)} s`);
    notes.push(
      `${name}: ${model.parameters} parameters, ${units} units; the answer is the most probable token on ${answered} of ${settings.pairs} prompts (after a subject any of six verbs may be)`,
    );
    for (const [rule, options] of Object.entries(rules)) {
      const { columns, seconds: own } = await correlations(model, pairs, exact!, options);
      table.push([name, rule, ...columns.map(shown), `${(taken / own).toFixed(0)} ×`]);
      if (rule === "relp") relp.push(columns[2].mean);
      log(`${name}, ${rule}: ${columns.map(shown).join(", ")}`);
    }
    const dropped = await correlations(model, pairs, exact!, { gradDrop: true }, Math.abs);
    const ofUnits = dropped.columns.slice(0, 2).map(shown);
    table.push([name, "gradient, GradDrop", ...ofUnits, "", "", `${(taken / dropped.seconds).toFixed(0)} ×`]);
  }
  return {
    rows: [],
    table: { columns: ["model", "rule", ...groups, "times faster than patching"], rows: table },
    ratio: Math.min(...relp),
    unit: "Pearson's correlation of RelP with patching over MLP outputs, the lower of both models",
    bars: relp.map((value, at) => atLeast(`RelP over MLP outputs, ${["GPT-2", "Llama"][at]}-shaped`, value, 0.9)),
    notes: [
      "Pearson's correlation over the units of a pair, mean over pairs; of outputs over all pairs and layers together. In brackets 95 % bootstrap intervals over pairs. F is the answer's logit minus that of the other prompt's answer; a unit takes its value of the other prompt at the last position.",
      "MLP and attention outputs: all neurons, or all heads, of a layer together; the estimate is their sum.",
      "GradDrop's scores have no sign: they are compared with the magnitudes of patching, and have no sum.",
      ...notes,
    ],
    versions: {},
  };
}

async function trained(
  shape: Readonly<Record<string, unknown>>,
  { train, tokenizer }: MadePairs,
  { epochs, seed }: Settings,
): Promise<Model> {
  using base = await createModel(shape, { tokenizer, seed });
  return await fineTune(base, train, {
    epochs,
    batchSize: 32,
    learningRate: 3e-3,
    warmupSteps: 20,
    dropout: false,
    seed,
  });
}

/** What F loses by patching, [pair]: of each neuron and head [layer, unit], and of whole layers of either [layer]. */
interface Exact {
  readonly units: readonly Float32Array[];
  readonly neuronLayers: readonly Float64Array[];
  readonly headLayers: readonly Float64Array[];
}

const targetAt = ({ answers, otherAnswers }: MadePairs, at: number) =>
  ({ target: "logit", of: [answers[at]], contrast: [otherAnswers[at]] }) as const;

async function patched(model: Model, pairs: MadePairs): Promise<Exact> {
  const { layers, intermediate, heads } = model.architecture;
  const found = { units: [] as Float32Array[], neuronLayers: [] as Float64Array[], headLayers: [] as Float64Array[] };
  for (let at = 0; at < pairs.prompts.size; at++) {
    const [own, other] = [selectInstances(pairs.prompts, [at]), selectInstances(pairs.against, [at])];
    const baseline = await valuesOf(model, other);
    const target = targetAt(pairs, at);
    found.units.push(rowScores(await ablation(model, own, { ...target, site: "both", baseline }), 0));
    for (const [site, count, list] of [
      ["neurons", intermediate, found.neuronLayers],
      ["heads", heads, found.headLayers],
    ] as const) {
      const losses = new Float64Array(layers);
      for (let layer = 0; layer < layers; layer++) {
        const units = Array.from({ length: count }, (_, unit) => ({ layer, unit, site }));
        const { before, after } = await intervene(model, own, units, { ...target, kind: "replace", baseline });
        losses[layer] = before.targetValues[0] - after.targetValues[0];
      }
      list.push(losses);
    }
  }
  return found;
}

async function valuesOf(model: Model, instances: Instances) {
  const values = async (site: "neurons" | "heads") => (await capture(model, instances, { site })).values;
  return { neurons: await values("neurons"), heads: await values("heads") };
}

async function correlations(
  model: Model,
  pairs: MadePairs,
  exact: Exact,
  options: AttributionPatchingOptions,
  weigh: (value: number) => number = (value) => value,
): Promise<{ columns: Estimate[]; seconds: number }> {
  let estimate: NeuronAttribution | undefined;
  const target = { target: "logit", of: pairs.answers, contrast: pairs.otherAnswers } as const;
  const taken = await seconds(async () => {
    estimate = await attributionPatching(model, pairs.prompts, {
      ...options,
      ...target,
      site: "both",
      against: pairs.against,
    });
  });
  const { layers, intermediate, heads } = model.architecture;
  const each = intermediate + heads;
  const part = (scores: ArrayLike<number>, first: number, end: number): number[] =>
    Array.from({ length: layers * each }, (_, i) => i)
      .filter((i) => i % each >= first && i % each < end)
      .map((i) => scores[i]);
  const sums = (scores: ArrayLike<number>, first: number, end: number): number[] =>
    Array.from({ length: layers }, (_, layer) =>
      part(scores, first, end)
        .slice(layer * (end - first), (layer + 1) * (end - first))
        .reduce((sum, score) => sum + score, 0),
    );
  const columns: Estimate[] = [];
  for (const group of groups) {
    const [first, end] = group === "neurons" || group === "MLP outputs" ? [0, intermediate] : [intermediate, each];
    const isUnits = group === "neurons" || group === "heads";
    const whole = group === "MLP outputs" ? exact.neuronLayers : exact.headLayers;
    const values = exact.units.map((units, at) => {
      const own = rowScores(estimate!, at);
      return isUnits
        ? { estimated: part(own, first, end), measured: part(units, first, end).map(weigh) }
        : { estimated: sums(own, first, end), measured: Array.from(whole[at], weigh) };
    });
    columns.push(isUnits ? overPairs(values) : await pooled(values));
  }
  return { columns, seconds: taken };
}

interface Values {
  readonly estimated: readonly number[];
  readonly measured: readonly number[];
}

/** Mean over pairs of the correlation over a pair's units. */
function overPairs(values: readonly Values[]): Estimate {
  return bootstrapMean(
    values.map(({ estimated, measured }) => pearson(estimated, measured)).filter((value) => !Number.isNaN(value)),
  );
}

/** The correlation over all pairs and layers together: a pair alone has few layers. */
async function pooled(values: readonly Values[]): Promise<Estimate> {
  const of = (picks: Int32Array, field: keyof Values): number[] => Array.from(picks, (at) => values[at][field]).flat();
  const [estimate] = await pacedBootstrapOf(
    values.length,
    (picks) => [pearson(of(picks, "estimated"), of(picks, "measured"))],
    () => Promise.resolve(),
  );
  return estimate;
}

const shown = ({ mean, low, high }: Estimate): string => `${mean.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
