// Neuron scores of encoders equal the slow and obvious ones of test/golden/encoders.py, by copies of rows and by full forwards.
import { ablation } from "../../lib/neuron/ablation";
import { activation } from "../../lib/neuron/activation";
import { attributionPatching } from "../../lib/neuron/attribution-patching";
import { conductance } from "../../lib/neuron/conductance";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { inputTokens } from "../../lib/neuron/input-tokens";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { intervene } from "../../lib/neuron/intervene";
import { refusal } from "../storage/refusal";
import { encoders, openEncoder } from "../model/encoder-golden";
import { relativeDifference } from "../model/golden-cases";

/** Doubles whose scores come back as float32; transformers rotates in float32. */
const tolerance = 2e-6;
/** What bisection keeps of a layer's largest score, and the Riemann sum's own error. */
const bound = 2e-3;

const readable = encoders.filter((name) => name !== "modernbert-mean");

describe.each(readable)("%s", (name) => {
  test("has the scores of its units at the position that is read", async () => {
    const { model, instances, wanted } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const target = { of: "gold" } as const;
    for (const site of ["neurons", "heads"] as const) {
      const common = { site, ...target };
      for (const engine of ["cache", "full"] as const) {
        const path = await integratedGradients(model, instances, { ...common, engine, nodes: 20 });
        expect(relativeDifference(path.scores, wanted[`${site}.integratedGradients`].data)).toBeLessThan(tolerance);
        expect(relativeDifference(path.targetValues, wanted["targetValues"].data)).toBeLessThan(tolerance);
        const slopes = await gradientTimesActivation(model, instances, { ...common, engine });
        expect(relativeDifference(slopes.scores, wanted[`${site}.gradientTimesActivation`].data)).toBeLessThan(
          tolerance,
        );
      }
      const patched = await attributionPatching(model, instances, common);
      expect(relativeDifference(patched.scores, wanted[`${site}.gradientTimesActivation`].data)).toBeLessThan(
        tolerance,
      );
      const { scores } = await ablation(model, instances, common);
      const each = scores.length / instances.size;
      const values = wanted["targetValues"].data;
      const fall = Float64Array.from(
        wanted[`${site}.ablation`].data,
        (value, i) => values[Math.floor(i / each)] - value,
      );
      expect(relativeDifference(scores, fall)).toBeLessThan(tolerance);
    }
    const { scores } = await activation(model, instances);
    expect(relativeDifference(scores, wanted["neurons.values"].data)).toBeLessThan(tolerance);
  });

  test("has the knowledge neurons' integrated gradients: Riemann steps from zero to the activation", async () => {
    const { model, instances, wanted } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const found = await integratedGradients(model, instances, { of: "gold" });
    expect(relativeDifference(found.scores, wanted["neurons.knowledgeNeurons"].data)).toBeLessThan(bound);
    found.completenessGap.forEach((gap) => expect(Math.abs(gap)).toBeLessThan(bound));
  });
});

test.each(["bert-masked", "modernbert-classification"])(
  "%s: changed sets, conductance and input tokens agree with full forwards, and do not depend on batches",
  async (name) => {
    const { model, instances } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const units = [
      { layer: 0, unit: 3 },
      { layer: 1, unit: 7 },
    ];
    const change = async (options: { engine?: "cache" | "full"; batchTokens?: number }) =>
      (await intervene(model, instances, units, options)).after.targetValues;
    const whole = await change({ engine: "full" });
    expect(relativeDifference(await change({}), whole)).toBeLessThan(tolerance);
    expect(relativeDifference(await change({ batchTokens: 1 }), whole)).toBeLessThan(tolerance);
    const { scores } = await conductance(model, instances);
    const alone = await conductance(model, instances, { batchTokens: 1 });
    expect(relativeDifference(alone.scores, scores)).toBeLessThan(tolerance);
    const tokens = await inputTokens(model, instances, { nodes: 50 });
    tokens.completenessGap.forEach((gap) => expect(Math.abs(gap)).toBeLessThan(0.02));
  },
);

test("a classifier of the mean has units at all positions, and none at one", async () => {
  const { model, instances } = await openEncoder("modernbert-mean", { dtype: "float64" });
  using _closing = model;
  await expect(integratedGradients(model, instances)).rejects.toMatchObject(refusal("unsupported", /mean of all/));
  await expect(ablation(model, instances)).rejects.toMatchObject(refusal("unsupported", /mean of all/));
  const { completenessGap } = await integratedGradients(model, instances, { positions: "all", nodes: 60 });
  completenessGap.forEach((gap) => expect(Math.abs(gap)).toBeLessThan(1e-4));
});
