// Shapley values: exact equals brute force by full forwards, the axioms hold, sampling converges at the rate that it states.
import { shapleyValues } from "../../lib/faithfulness/shapley";
import { intervene } from "../../lib/neuron/intervene";
import { meanActivations } from "../../lib/neuron/baseline";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { top } from "../../lib/results/top";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** Values are differences of probabilities in float64. */
const doubleTolerance = 1e-9;

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);
const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

test("on 10 units equal brute force over 1,024 subsets by full forwards, and sum to F(all) − F(none)", async () => {
  using model = await open("gpt-neox-classification", { dtype: "float64" });
  const instances = raggedInstances("classification", 3);
  const attribution = await integratedGradients(model, instances, { site: "both" });
  const units = top(attribution, 0, 10);
  const { values, all, none, players, evaluations, standardErrors } = await shapleyValues(model, instances, units, {
    site: "both",
  });
  expect([players, evaluations, sum(standardErrors)]).toEqual([10, 1024, 0]);
  const worth: Float64Array[] = [];
  for (let coalition = 0; coalition < 1024; coalition++) {
    const outside = units.filter((_, i) => (coalition >> i) % 2 === 0);
    if (outside.length === 0)
      worth.push(
        (await intervene(model, instances, units, { kind: "scale", factor: 1, site: "both", engine: "full" })).after
          .targetValues,
      );
    else worth.push((await intervene(model, instances, outside, { site: "both", engine: "full" })).after.targetValues);
  }
  for (let i = 0; i < instances.size; i++) {
    for (let player = 0; player < 10; player++) {
      let wanted = 0;
      for (let coalition = 0; coalition < 1024; coalition++) {
        if ((coalition >> player) % 2 === 1) continue;
        const size = units.filter((_, j) => (coalition >> j) % 2 === 1).length;
        wanted +=
          ((factorial(size) * factorial(9 - size)) / factorial(10)) *
          (worth[coalition + 2 ** player][i] - worth[coalition][i]);
      }
      expect(Math.abs(values[i * 10 + player] - wanted)).toBeLessThan(doubleTolerance);
    }
    expect(Math.abs(sum(values.subarray(i * 10, i * 10 + 10)) - (all[i] - none[i]))).toBeLessThan(doubleTolerance);
    expect(Math.abs(all[i] - worth[1023][i])).toBeLessThan(doubleTolerance);
    expect(Math.abs(none[i] - worth[0][i])).toBeLessThan(doubleTolerance);
  }
});

test("one unit's value is its ablation, and two lists of the same units agree whatever their order", async () => {
  using model = await open("llama-classification", { dtype: "float64" });
  const instances = raggedInstances("classification", 4);
  const unit = { layer: 1, unit: 3 };
  const { before, after } = await intervene(model, instances, [unit]);
  const { values } = await shapleyValues(model, instances, [unit]);
  values.forEach((value, i) =>
    expect(Math.abs(value - before.targetValues[i] + after.targetValues[i])).toBeLessThan(doubleTolerance),
  );
  const units = [0, 1, 2, 3].map((layer) => ({ layer: layer % 2, unit: 5 + layer }));
  const forth = await shapleyValues(model, instances, units);
  const back = await shapleyValues(
    model,
    instances,
    instances.ids.map(() => [...units].reverse()),
  );
  forth.values.forEach((value, k) =>
    expect(Math.abs(value - back.values[Math.floor(k / 4) * 4 + 3 - (k % 4)])).toBeLessThan(doubleTolerance),
  );
  const baseline = await meanActivations(model, instances);
  expect(
    relativeDifference((await shapleyValues(model, instances, units, { baseline })).values, forth.values),
  ).toBeGreaterThan(0.01);
});

test("by sampling come near the exact ones, by as much as their errors say; every sample is efficient", async () => {
  using model = await open("gpt2-classification", { dtype: "float64" });
  const instances = raggedInstances("classification", 4);
  const attribution = await integratedGradients(model, instances, { target: "logit" });
  const units = Array.from({ length: 4 }, (_, row) => top(attribution, row, 12));
  const exact = await shapleyValues(model, instances, units, { method: "exact", target: "logit" });
  for (const sampling of ["antithetic", "plain"] as const) {
    const options = { target: "logit", sampling, permutations: 60 } as const;
    const sampled = await shapleyValues(model, instances, units, options);
    expect(sampled.evaluations).toBe(60 * 11 + 2);
    sampled.values.forEach((value, i) =>
      expect(Math.abs(value - exact.values[i])).toBeLessThan(5 * sampled.standardErrors[i] + 1e-12),
    );
    for (let i = 0; i < 4; i++)
      expect(sum(sampled.values.subarray(i * 12, i * 12 + 12))).toBeCloseTo(exact.all[i] - exact.none[i], 9);
    expect(
      (await shapleyValues(model, instances, units, { ...options, batchTokens: 8 })).values.every(
        (value, i) => Math.abs(value - sampled.values[i]) < doubleTolerance,
      ),
    ).toBe(true);
    const other = await shapleyValues(model, instances, units, { ...options, seed: 1 });
    expect(relativeDifference(other.values, sampled.values)).toBeGreaterThan(0);
    const more = await shapleyValues(model, instances, units, { ...options, permutations: 600 });
    expect(sum(more.standardErrors)).toBeLessThan(sum(sampled.standardErrors) / 2);
  }
});

test.each<[string, unknown, object, string, RegExp]>([
  [
    "lists of unequal length",
    [
      [{ layer: 0, unit: 1 }],
      [
        { layer: 0, unit: 1 },
        { layer: 0, unit: 2 },
      ],
    ],
    {},
    "invalid",
    /as many distinct units/,
  ],
  [
    "more units than exact values can have",
    Array.from({ length: 17 }, (_, unit) => ({ layer: 0, unit })),
    { method: "exact" },
    "invalid",
    /1–16 units.*17/,
  ],
  [
    "odd antithetic orders",
    Array.from({ length: 11 }, (_, unit) => ({ layer: 0, unit })),
    { permutations: 5 },
    "invalid",
    /even number/,
  ],
  ["an unknown method", [{ layer: 0, unit: 1 }], { method: "kernel" }, "invalid", /"method"/],
  ["a misspelt option", [{ layer: 0, unit: 1 }], { samples: 5 }, "unknown", /"samples"/],
])("%s are refused", async (_name, units, options, code, words) => {
  using model = await open("opt-classification");
  await expect(
    shapleyValues(model, raggedInstances("classification", 2), units as never, options),
  ).rejects.toMatchObject(refusal(code as never, words));
});
