// Integrated gradients of ReLU models, whose gradient jumps along a path: no unit may be wrong, though the layer's sum is right.
import { createInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { neuronScores } from "../../lib/neuron/neuron-scores";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { relativeDifference } from "../model/golden-cases";

/** What the default promises of every unit, as a share of its layer's largest score. */
const exact = 1e-3;
/** Where a path has all the pieces that it may have, the result says what is left. */
const promised = ({ unitErrors }: NeuronAttribution): number[] =>
  Array.from(unitErrors!, (left) => Math.max(exact, left));
/** A midpoint sum is wrong by at most half its step at each jump; the largest jumps here are a few times the largest score. */
const denseNodes = 8000;
/** Batches change only the order of float64 sums, and results are float32. */
const rounding = 1e-6;

const open = (postNorm: boolean, seed: number): Promise<Model> =>
  createModel(
    {
      model_type: "opt",
      vocab_size: 64,
      hidden_size: 16,
      word_embed_proj_dim: 16,
      ffn_dim: 32,
      num_hidden_layers: 3,
      num_attention_heads: 4,
      max_position_embeddings: 16,
      do_layer_norm_before: !postNorm,
      init_std: 0.3,
      activation_function: "relu",
    },
    { head: { kind: "causalLM" }, seed, dtype: "float64" },
  );

const prompt = (seed: number): Instances =>
  createInstances({ kind: "causalLM", rows: [[3 + (seed % 5), 17, 40, 9, 22, 31]] });

/** The path integral by thousands of equally spaced nodes. */
const dense = (model: Model, instances: Instances, site: "neurons" | "heads"): Promise<NeuronAttribution> =>
  neuronScores(
    model,
    instances,
    { site },
    {
      name: "midpoints",
      native: "integratedGradients",
      nodes: Float64Array.from({ length: denseNodes }, (_, i) => (i + 0.5) / denseNodes),
      weights: new Float64Array(denseNodes).fill(1 / denseNodes),
      unit: "probability",
    },
    undefined,
  );

const layer = ({ scores, units }: NeuronAttribution, index: number): Float32Array =>
  scores.subarray(index * units, (index + 1) * units);

/** Of each layer, the largest error of a unit as a share of the layer's largest score. */
const errors = (found: NeuronAttribution, reference: NeuronAttribution): number[] =>
  Array.from({ length: found.layers }, (_, l) => relativeDifference(layer(found, l), layer(reference, l)));

const cases = [true, false].flatMap((postNorm) =>
  [4, 6, 9, 17, 21, 25].map((seed) => [postNorm ? "post-norm" : "pre-norm", seed, postNorm] as const),
);

test.each(cases)(
  "no neuron of a random %s ReLU model is off by a thousandth (seed %d)",
  async (_name, seed, postNorm) => {
    using model = await open(postNorm, seed);
    const reference = await dense(model, prompt(seed), "neurons");
    const found = await integratedGradients(model, prompt(seed));
    expect(Math.max(...errors(found, reference))).toBeLessThan(exact);
    found.completenessGap.forEach((gap) => expect(Math.abs(gap)).toBeLessThan(exact));
  },
);

test.each([
  ["post-norm", true],
  ["pre-norm", false],
] as const)("nor is a head of a %s one, or the result says by how much it may be", async (_name, postNorm) => {
  using model = await open(postNorm, 2);
  const reference = await dense(model, prompt(2), "heads");
  const found = await integratedGradients(model, prompt(2), { site: "heads" });
  const bounds = promised(found);
  errors(found, reference).forEach((error, l) => expect(error).toBeLessThan(bounds[l]));
});

test("where eight nodes are complete and one unit is off by more than a hundredth, the default finds it", async () => {
  let found = 0;
  for (const seed of [6, 17]) {
    using model = await open(false, seed);
    const reference = await dense(model, prompt(seed), "neurons");
    const eight = await integratedGradients(model, prompt(seed), { nodes: 8 });
    const twenty = await integratedGradients(model, prompt(seed), { nodes: 20 });
    const gap = Math.abs(eight.completenessGap[0]) / reference.targetValues[0];
    const [ofEight, ofTwenty] = [errors(eight, reference)[0], errors(twenty, reference)[0]];
    if (gap < exact && ofEight > 10 * exact && ofTwenty < ofEight) found++;
    expect(errors(await integratedGradients(model, prompt(seed)), reference)[0]).toBeLessThan(exact);
  }
  expect(found).toBe(2);
});

test("and a score does not depend on its batch", async () => {
  using model = await open(true, 9);
  const together = createInstances({
    kind: "causalLM",
    rows: [
      [5, 6],
      [7, 17, 40, 9, 22, 31],
      [8, 30, 2, 2],
    ],
  });
  const alone = createInstances({ kind: "causalLM", rows: [[7, 17, 40, 9, 22, 31]] });
  const { scores, layers, units } = await integratedGradients(model, together);
  const own = scores.subarray(layers * units, 2 * layers * units);
  expect(relativeDifference((await integratedGradients(model, alone)).scores, own)).toBeLessThan(rounding);
});
