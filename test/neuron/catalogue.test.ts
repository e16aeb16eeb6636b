// What holds for the whole catalogue of neuron scores: sites, positions, baselines, engines, batches. Golden values: golden-scores.test.ts.
import { createInstances, selectInstances } from "../../lib/data/instances";
import { ablation } from "../../lib/neuron/ablation";
import { activation } from "../../lib/neuron/activation";
import { attributionPatching } from "../../lib/neuron/attribution-patching";
import { meanActivations } from "../../lib/neuron/baseline";
import { conductance } from "../../lib/neuron/conductance";
import { gradient } from "../../lib/neuron/gradient";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { intervene } from "../../lib/neuron/intervene";
import { logProbabilityIncrease } from "../../lib/neuron/log-probability-increase";
import { valueNorm } from "../../lib/neuron/value-norm";
import { capture } from "../../lib/model/capture";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** float32 through two different orders of the same sums; differences of nearly equal probabilities lose a digit more. */
const orderTolerance = 1e-5;
const differenceTolerance = 1e-4;
const everywhere = { integratedGradients, gradient, gradientTimesActivation, attributionPatching, conductance };
const readoutOnly = { ablation, logProbabilityIncrease, valueNorm, activation };
const catalogue = { ...everywhere, ...readoutOnly };
const methods = Object.entries(catalogue);

describe.each(methods)("%s", (_name, method) => {
  test('of site "both" is the two sites side by side in every layer', async () => {
    using model = await open("llama-classification");
    const instances = raggedInstances("classification");
    const [neurons, heads, both] = [
      await method(model, instances),
      await method(model, instances, { site: "heads" }),
      await method(model, instances, { site: "both" }),
    ];
    expect(both.units).toBe(neurons.units + heads.units);
    for (let row = 0; row < instances.size * both.layers; row++) {
      const part = both.scores.subarray(row * both.units, (row + 1) * both.units);
      expect(part.subarray(0, neurons.units)).toEqual(
        neurons.scores.subarray(row * neurons.units, (row + 1) * neurons.units),
      );
      expect(part.subarray(neurons.units)).toEqual(heads.scores.subarray(row * heads.units, (row + 1) * heads.units));
    }
    expect(both.targetLabels).toEqual(neurons.targetLabels);
  });

  test("does not depend on batches and memory", async () => {
    using model = await open("gpt-neox-choice");
    const instances = raggedInstances("choice");
    const whole = await method(model, instances);
    const alone = await method(model, instances, { batchTokens: 1 });
    const small = await method(model, instances, { memory: "1 MB" });
    expect(relativeDifference(alone.scores, whole.scores)).toBeLessThan(differenceTolerance);
    expect(relativeDifference(small.scores, whole.scores)).toBeLessThan(differenceTolerance);
    await expect(method(model, instances, { memory: 1 })).rejects.toMatchObject(
      refusal("memory", /one changed row.*raise "memory"/),
    );
  });

  test("refuses a misspelt option, and says how it came about", async () => {
    using model = await open("gpt2");
    const instances = raggedInstances("causalLM", 2);
    await expect(method(model, instances, { sites: "heads" } as never)).rejects.toMatchObject(
      refusal("unknown", /"sites"/),
    );
    const { provenance, kind } = await method(model, instances, { site: "heads" });
    expect([kind, provenance.method, provenance.options["site"], provenance.modelHash]).toEqual([
      "neurons",
      _name,
      "heads",
      model.hash,
    ]);
  });
});

describe.each(Object.entries(everywhere))("positions of %s", (_name, method) => {
  test("chosen as the last are the readout's, chosen as all are all", async () => {
    using model = await open("gpt2-classification");
    const instances = raggedInstances("classification");
    const lengths = Array.from(
      { length: instances.size },
      (_, i) => instances.rowOffsets[i + 1] - instances.rowOffsets[i],
    );
    const last = await method(model, instances, { positions: lengths.map((length) => [length - 1]) });
    expect(relativeDifference(last.scores, (await method(model, instances)).scores)).toBeLessThan(differenceTolerance);
    const each = await method(model, instances, {
      positions: lengths.map((length) => Array.from({ length }, (_, t) => t)),
    });
    const all = await method(model, instances, { positions: "all" });
    expect(relativeDifference(each.scores, all.scores)).toBeLessThan(orderTolerance);
    expect(relativeDifference(all.scores, last.scores)).toBeGreaterThan(1e-2);
  });

  test("outside a row, of too few rows or empty are refused", async () => {
    using model = await open("gpt2-classification");
    const instances = createInstances({ kind: "classification", rows: [[5, 6], [7]] });
    await expect(method(model, instances, { positions: [[1], [1]] })).rejects.toMatchObject(
      refusal("invalid", /instance 1.*received 1/),
    );
    await expect(method(model, instances, { positions: [[1]] })).rejects.toMatchObject(
      refusal("invalid", /2 instances/),
    );
    await expect(method(model, instances, { positions: [[1], []] })).rejects.toMatchObject(
      refusal("invalid", /positions\[1\]/),
    );
  });
});

test.each(Object.entries(readoutOnly))("%s knows no other positions", async (_name, method) => {
  using model = await open("gpt2-classification");
  await expect(
    method(model, raggedInstances("classification", 1), { positions: "all" } as never),
  ).rejects.toMatchObject(refusal("unknown", /"positions"/));
});

test("an ablation is F before minus F after the unit alone takes the baseline's value, by full forwards", async () => {
  using model = await open("opt-classification", { dtype: "float64" });
  const instances = raggedInstances("classification", 3);
  const baseline = await meanActivations(model, raggedInstances("classification"));
  for (const site of ["neurons", "heads"] as const) {
    const { scores, layers, units } = await ablation(model, instances, { site, baseline, target: "logit" });
    for (const [layer, unit] of [
      [0, 0],
      [1, 3],
      [1, units - 1],
    ]) {
      const { before, after } = await intervene(model, instances, [{ layer, unit, site }], {
        kind: "replace",
        baseline,
        target: "logit",
        engine: "full",
      });
      before.targetValues.forEach((value, i) =>
        expect(Math.abs(value - after.targetValues[i] - scores[(i * layers + layer) * units + unit])).toBeLessThan(
          orderTolerance,
        ),
      );
    }
  }
});

test("attribution patching from a mean is (w − mean) times the gradient", async () => {
  using model = await open("gpt-neox-classification");
  const instances = raggedInstances("classification");
  const baseline = await meanActivations(model, instances);
  const { scores } = await attributionPatching(model, instances, { baseline });
  const slope = await gradient(model, instances);
  const { values } = await capture(model, instances);
  const wanted = slope.scores.map((g, i) => g * (values[i] - baseline.neurons[i % baseline.neurons.length]));
  expect(relativeDifference(scores, wanted)).toBeLessThan(orderTolerance);
  await expect(attributionPatching(model, instances, { baseline: { heads: baseline.heads } })).rejects.toMatchObject(
    refusal("missing", /neurons/),
  );
});

test("mean activations are the mean of what capture reads", async () => {
  using model = await open("llama-gqa");
  const instances = raggedInstances("causalLM", 4);
  const { neurons, heads } = await meanActivations(model, instances);
  for (const [site, mean] of [
    ["neurons", neurons],
    ["heads", heads],
  ] as const) {
    const { values } = await capture(model, instances, { site });
    const width = values.length / 4;
    expect(mean).toHaveLength(width);
    expect(mean[3]).toBeCloseTo([0, 1, 2, 3].reduce((sum, row) => sum + values[row * width + 3], 0) / 4, 6);
  }
});

test("the log-probability increase refuses a post-norm model, whose residual has no such reading", async () => {
  using model = await open("opt-post-norm-projected");
  await expect(logProbabilityIncrease(model, raggedInstances("causalLM", 1))).rejects.toMatchObject(
    refusal("unsupported", /normalises what its blocks write/),
  );
});

test("conductance comes nearer to a fine path's with every node", async () => {
  using model = await open("gpt2-classification", { dtype: "float64" });
  const instances = selectInstances(raggedInstances("classification"), [0, 2]);
  // Near the zero input the norms turn every bit of signal into a full one, so the path needs many nodes there.
  const fine = await conductance(model, instances, { nodes: 3201 });
  const distances: number[] = [];
  for (const nodes of [51, 201, 801])
    distances.push(relativeDifference((await conductance(model, instances, { nodes })).scores, fine.scores));
  expect(distances).toEqual([...distances].sort((a, b) => b - a));
  expect(distances[2]).toBeLessThan(0.02);
  await expect(conductance(model, instances, { nodes: 1 })).rejects.toMatchObject(refusal("invalid", /"nodes"/));
});
