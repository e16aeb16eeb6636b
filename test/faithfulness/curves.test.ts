// Deletion and insertion curves: their ends, their areas, full forwards, chance, and what they refuse.
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { deletion } from "../../lib/faithfulness/deletion";
import { insertion } from "../../lib/faithfulness/insertion";
import { sufficiency } from "../../lib/faithfulness/sufficiency";
import { evaluate } from "../../lib/model/evaluate";
import { meanActivations } from "../../lib/neuron/baseline";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { mean } from "../../lib/statistics";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** Probabilities in float32, by two orders of the same sums. */
const tolerance = 1e-5;
const fractions = [0, 0.05, 0.25, 1];

test.each(["neurons", "heads", "both"] as const)(
  "over %s begin and end where they must, and are those of full forwards",
  async (site) => {
    using model = await open("gpt-neox-classification");
    const instances = raggedInstances("classification");
    const attribution = await integratedGradients(model, instances, { site });
    const { probabilities } = await evaluate(model, instances);
    const options = { fractions, controls: 2 };
    const [removed, added] = [
      await deletion(model, instances, attribution, options),
      await insertion(model, instances, attribution, options),
    ];
    expect(removed.points.map(({ units }) => units)).toEqual(
      fractions.map((fraction) => Math.round(fraction * attribution.layers * attribution.units)),
    );
    for (const field of ["value", "randomValue"] as const) {
      expect(removed.points[0][field].mean).toBeCloseTo(mean(probabilities), 5);
      expect(added.points[3][field].mean).toBeCloseTo(mean(probabilities), 5);
      expect(removed.points[3][field].mean).toBeCloseTo(added.points[0][field].mean, 5); // nothing of the site is left
    }
    for (const [run, cached] of [
      [deletion, removed],
      [insertion, added],
    ] as const) {
      const full = await run(model, instances, attribution, { ...options, engine: "full" });
      cached.points.forEach(({ value, randomValue }, i) => {
        expect(Math.abs(value.mean - full.points[i].value.mean)).toBeLessThan(tolerance);
        expect(Math.abs(randomValue.mean - full.points[i].randomValue.mean)).toBeLessThan(tolerance);
      });
    }
  },
);

test("are comprehensiveness and sufficiency at the same sizes, and their area is that of trapezoids", async () => {
  using model = await open("bloom");
  const instances = raggedInstances("causalLM");
  const attribution = await integratedGradients(model, instances);
  const all = attribution.layers * attribution.units;
  const sizes = [4, 16, 64];
  for (const [curve, test] of [
    [deletion, comprehensiveness],
    [insertion, sufficiency],
  ] as const) {
    const { points, area, randomArea, difference } = await curve(model, instances, attribution, {
      fractions: sizes.map((size) => size / all),
      controls: 3,
    });
    const { points: changes } = await test(model, instances, attribution, { r: sizes, controls: 3 });
    const { probabilities } = await evaluate(model, instances);
    points.forEach(({ value, changedPredictions }, i) => {
      expect(Math.abs(value.mean - mean(probabilities) - changes[i].probabilityChange.mean)).toBeLessThan(tolerance);
      expect(changedPredictions).toEqual(changes[i].changedPredictions);
    });
    const heights = points.map(({ value }) => value.mean);
    expect(area.mean).toBeCloseTo(
      ((12 * (heights[0] + heights[1])) / 2 + (48 * (heights[1] + heights[2])) / 2) / 60,
      6,
    );
    expect(difference.mean).toBeCloseTo(area.mean - randomArea.mean, 10);
  }
});

test("of an honest attribution of a logit fall earlier and rise earlier than random orders", async () => {
  using model = await open("opt-classification");
  const instances = raggedInstances("classification", 12);
  const attribution = await integratedGradients(model, instances, { target: "logit" });
  const options = { target: "logit", fractions: [0, 0.02, 0.05, 0.1, 0.3] } as const;
  expect((await deletion(model, instances, attribution, options)).difference.high).toBeLessThan(0);
  expect((await insertion(model, instances, attribution, options)).difference.low).toBeGreaterThan(0);
});

test("with a mean baseline remove nothing that the mean keeps, and a seed gives the same curve", async () => {
  using model = await open("gpt2-classification");
  const instances = raggedInstances("classification", 1);
  const attribution = await integratedGradients(model, instances);
  const same = await deletion(model, instances, attribution, {
    baseline: await meanActivations(model, instances),
    fractions,
  });
  same.points.forEach(({ value }) => expect(value.mean).toBeCloseTo(same.points[0].value.mean, 5));
  const run = (seed: number) => deletion(model, instances, attribution, { fractions, seed, controls: 3 });
  const [first, again, other] = [await run(1), await run(1), await run(2)];
  expect(again.points).toEqual(first.points);
  expect(other.randomArea).not.toEqual(first.randomArea);
});

test.each<[string, object, string, RegExp]>([
  ["one fraction", { fractions: [0.5] }, "invalid", /two different/],
  ["a fraction above 1", { fractions: [0, 2] }, "invalid", /0–1/],
  ["sizes instead", { r: [1] }, "unknown", /"r"/],
  ["a class that the head has not", { of: [7, 7] }, "invalid", /received 7/],
])("%s is refused", async (_name, options, code, words) => {
  using model = await open("opt-classification");
  const instances = raggedInstances("classification", 2);
  const attribution = await integratedGradients(model, instances);
  await expect(deletion(model, instances, attribution, options)).rejects.toMatchObject(refusal(code as never, words));
});
