// Circuits against every size measured by full forwards, MIB's areas by hand, held-out prompts, and what is refused.
import { circuit } from "../../lib/faithfulness/circuit";
import { circuitCurve } from "../../lib/faithfulness/circuit-curve";
import { ablation } from "../../lib/neuron/ablation";
import { meanActivations } from "../../lib/neuron/baseline";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { intervene } from "../../lib/neuron/intervene";
import { mean } from "../../lib/statistics";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { selectInstances } from "../../lib/data/instances";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** F in float32, by two orders of the same sums, over differences of F. */
const digits = 4;
const target = { target: "logit" } as const;

/** Mean F with only these units kept, by full forwards. */
async function keptMean(model: Model, instances: Instances, units: readonly number[], na: NeuronAttribution) {
  const places = units.map((index) => ({ layer: Math.floor(index / na.units), unit: index % na.units }));
  const change = { ...target, site: na.site, engine: "full" } as const;
  if (places.length > 0)
    return mean((await intervene(model, instances, places, { ...change, kind: "keepOnly" })).after.targetValues);
  const every = Array.from({ length: na.layers * na.units }, (_, i) => ({
    layer: Math.floor(i / na.units),
    unit: i % na.units,
  }));
  return mean((await intervene(model, instances, every, change)).after.targetValues);
}

/** f of the first k units by mean score, for every k from 0 to all, the slow way. */
async function everyShare(model: Model, instances: Instances, na: NeuronAttribution, weigh = (x: number) => x) {
  const all = na.layers * na.units;
  const means = Array.from({ length: all }, (_, u) =>
    mean(Array.from({ length: na.instances }, (__, i) => na.scores[i * all + u])),
  );
  const order = means.map((_, i) => i).sort((a, b) => weigh(means[b]) - weigh(means[a]) || a - b);
  const kept: number[] = [];
  for (let k = 0; k <= all; k++) kept.push(await keptMean(model, instances, order.slice(0, k), na));
  return { order, f: kept.map((value) => (value - kept[0]) / (kept[all] - kept[0])), kept };
}

test.each(["heads", "neurons"] as const)(
  "of %s is the smallest of all sizes that carries the share; bisected, its last unit is needed",
  async (site) => {
    using model = await open("gpt2-classification");
    const instances = raggedInstances("classification", 4);
    const na = await ablation(model, instances, { ...target, site });
    const { order, f, kept } = await everyShare(model, instances, na);
    for (const share of [0.3, 0.8, 1]) {
      const found = await circuit(model, instances, na, { ...target, share, search: "every", controls: 2 });
      const size = f.findIndex((value, k) => k > 0 && value >= share - 1e-6);
      expect(found.size).toBe(size);
      expect(found.units.map(({ index }) => index)).toEqual(order.slice(0, size));
      expect(found.faithfulness.mean).toBeCloseTo(f[size], digits);
      expect([found.all, found.none]).toEqual([expect.closeTo(kept.at(-1)!, 5), expect.closeTo(kept[0], 5)]);
      const bisected = (await circuit(model, instances, na, { ...target, share, controls: 2 })).size;
      expect(f[bisected]).toBeGreaterThan(share - 1e-4);
      expect(bisected === 1 || f[bisected - 1] < share + 1e-4).toBe(true);
    }
  },
);

test("by magnitude takes units of either sign, and random sets of its size are seeded", async () => {
  using model = await open("llama-gqa");
  const instances = raggedInstances("causalLM", 3);
  const na = await gradientTimesActivation(model, instances, { ...target, site: "heads" });
  const { order } = await everyShare(model, instances, na, Math.abs);
  const run = (seed: number) => circuit(model, instances, na, { ...target, order: "magnitude", share: 0.6, seed });
  const [first, again, other] = [await run(1), await run(1), await run(2)];
  expect(first.units.map(({ index }) => index)).toEqual(order.slice(0, first.size));
  expect(again).toEqual(first);
  expect(other.size).toBe(first.size);
  expect(other.randomFaithfulness).not.toEqual(first.randomFaithfulness);
});

test("curves have f at each size, and CPR and CMD are the areas by trapezoids", async () => {
  using model = await open("gpt-neox-classification");
  const instances = raggedInstances("classification", 4);
  const na = await ablation(model, instances, { ...target, site: "heads" });
  const { f } = await everyShare(model, instances, na);
  const all = na.layers * na.units;
  const fractions = f.map((_, k) => k / all);
  const curve = await circuitCurve(model, instances, na, { ...target, fractions, controls: 3 });
  curve.points.forEach(({ units, faithfulness }, k) => {
    expect(units).toBe(k);
    expect(faithfulness.mean).toBeCloseTo(f[k], digits);
  });
  const area = (values: readonly number[]) =>
    values.slice(1).reduce((sum, value, k) => sum + (value + values[k]) / (2 * all), 0);
  expect(curve.cpr.mean).toBeCloseTo(area(f), digits);
  expect(curve.cmd.mean).toBeCloseTo(area(f.map((value) => Math.abs(1 - value))), digits);
  expect(curve.points.at(-1)!.randomFaithfulness.mean).toBeCloseTo(1, 6);
  expect(curve.cpr.low).toBeLessThanOrEqual(curve.cpr.mean);
  expect(curve.cpr.mean).toBeGreaterThan(curve.randomCpr.mean);
});

test("each instance may have its own order, and a task's order may come from other instances", async () => {
  using model = await open("opt-classification");
  const instances = raggedInstances("classification", 6);
  const [found, heldOut] = [selectInstances(instances, [0, 1, 2]), selectInstances(instances, [3, 4, 5])];
  const na = await gradientTimesActivation(model, found, target);
  const options = { ...target, controls: 2, fractions: [0.02, 0.5] };
  const own = await circuitCurve(model, found, na, { ...options, per: "instance" });
  const all = na.layers * na.units;
  const byHand = await Promise.all(
    [0, 1, 2].map(async (i) => {
      const order = Array.from(na.scores.subarray(i * all, (i + 1) * all), (score, unit) => ({ score, unit }));
      order.sort((a, b) => b.score - a.score || a.unit - b.unit);
      const units = order.slice(0, Math.round(0.02 * all)).map(({ unit }) => unit);
      return keptMean(model, selectInstances(found, [i]), units, na);
    }),
  );
  expect(own.points[0].faithfulness.mean).toBeCloseTo((mean(byHand) - own.none) / (own.all - own.none), digits);
  const other = await circuitCurve(model, heldOut, na, options);
  expect(other.all).not.toBeCloseTo(own.all, 3);
  await expect(circuitCurve(model, heldOut, na, { ...options, per: "instance" })).rejects.toMatchObject(
    refusal("mismatch", /rows are not these instances/),
  );
});

test.each<[string, object, string, RegExp]>([
  ["no share", { share: 0 }, "invalid", /"share"/],
  ["a share above 1", { share: 1.5 }, "invalid", /"share"/],
  ["an unknown search", { search: "greedy" }, "invalid", /bisect/],
  ["fractions", { fractions: [0.1] }, "unknown", /"fractions"/],
])("%s is refused", async (_name, options, code, words) => {
  using model = await open("opt-classification");
  const instances = raggedInstances("classification", 2);
  const na = await gradientTimesActivation(model, instances, { site: "heads" });
  await expect(circuit(model, instances, na, options)).rejects.toMatchObject(refusal(code as never, words));
});

test("units that nothing rests on have no circuit", async () => {
  using model = await open("gpt2-classification");
  const instances = raggedInstances("classification", 1);
  const na = await gradientTimesActivation(model, instances, { site: "heads" });
  const baseline = await meanActivations(model, instances); // the instance's own values
  await expect(circuit(model, instances, na, { baseline })).rejects.toMatchObject(
    refusal("invalid", /with all of the site's units/),
  );
});
