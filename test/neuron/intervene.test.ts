// Interventions: what they do to a prediction, in all their kinds, and what they refuse.
import { createInstances } from "../../lib/data/instances";
import { evaluate } from "../../lib/model/evaluate";
import { capture } from "../../lib/model/capture";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { intervene } from "../../lib/neuron/intervene";
import { top } from "../../lib/results/top";
import { load } from "../../lib/results/load";
import { save } from "../../lib/results/save";
import type { Intervention } from "../../types/results";
import { open, raggedInstances } from "../model/golden-tensors";
import { relativeDifference } from "../model/golden-cases";
import { refusal } from "../storage/refusal";
import { neuronGolden } from "./golden-instances";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Golden values hold to 1e-7 in float64. */
const doubleTolerance = 1e-6;
/** Probabilities in float32, by two orders of the same sums. */
const singleTolerance = 1e-5;

test.each(["opt-classification", "llama", "bloom", "qwen3", "gpt-neox-choice"])(
  "suppressed, scaled and kept units of %s equal PyTorch's, one list per instance",
  async (name) => {
    using model = await open(name, { dtype: "float64" });
    const { wanted, instances } = await neuronGolden(name, model.architecture.head.kind);
    for (const site of ["neurons", "heads"] as const) {
      const count = site === "heads" ? model.architecture.heads : model.architecture.intermediate;
      const {
        data,
        shape: [rows, sets, size],
      } = wanted[`${site}.sets`];
      for (let set = 0; set < sets; set++) {
        const units = Array.from({ length: rows }, (_, row) =>
          Array.from(data.slice((row * sets + set) * size, (row * sets + set + 1) * size), (index) => ({
            layer: Math.floor(index / count),
            unit: index % count,
            site,
          })),
        );
        for (const [golden, options] of [
          ["suppressed", {}],
          ["suppressed", { kind: "scale", factor: 0 }],
          ["doubled", { kind: "scale", factor: 2 }],
          ["keptOnly", { kind: "keepOnly" }],
        ] as const) {
          const { before, after } = await intervene(model, instances, units, options);
          after.targetValues.forEach((value, row) =>
            expect(Math.abs(value - wanted[`${site}.${golden}`].data[row * sets + set])).toBeLessThan(doubleTolerance),
          );
          expect(relativeDifference(before.targetValues, wanted["targetValues"].data)).toBeLessThan(doubleTolerance);
        }
      }
    }
  },
);

test("neurons and heads change together, in either way of naming them", async () => {
  using model = await open("gpt-neox-classification");
  const instances = raggedInstances("classification");
  const named = [
    { layer: 0, unit: 3, site: "neurons" },
    { layer: 1, unit: 1, site: "heads" },
  ] as const;
  const numbered = [
    { layer: 0, unit: 3 },
    { layer: 1, unit: model.architecture.intermediate + 1 },
  ];
  const [first, second] = [
    await intervene(model, instances, named),
    await intervene(model, instances, numbered, { site: "both" }),
  ];
  expect(first.after).toEqual(second.after);
  const full = await intervene(model, instances, named, { engine: "full" });
  expect(relativeDifference(first.after.targetValues, full.after.targetValues)).toBeLessThan(singleTolerance);
  const alone = await intervene(model, instances, [named[0]]);
  expect(relativeDifference(first.after.targetValues, alone.after.targetValues)).toBeGreaterThan(singleTolerance);
});

test("units replaced by their own value, or scaled by 1, change nothing", async () => {
  using model = await open("gpt2-classification");
  const instances = createInstances({ kind: "classification", rows: [[5, 6, 7]] });
  const baseline = { neurons: (await capture(model, instances)).values };
  const units = [
    { layer: 0, unit: 2 },
    { layer: 1, unit: 5 },
  ];
  for (const options of [
    { kind: "replace", baseline },
    { kind: "keepOnly", baseline },
    { kind: "scale", factor: 1 },
  ] as const) {
    const { before, after } = await intervene(model, instances, units, { ...options, target: "logit" });
    expect(relativeDifference(after.targetValues, before.targetValues)).toBeLessThan(singleTolerance);
    expect(after.predictions).toEqual(before.predictions);
  }
});

test("the units of a ranking: their suppression lowers the target, and predictions are the model's own", async () => {
  using model = await open("opt-classification");
  const instances = raggedInstances("classification");
  const attribution = await integratedGradients(model, instances, { target: "logit" });
  const units = Array.from({ length: instances.size }, (_, row) => top(attribution, row, 5));
  const { before, after, targetLabels } = await intervene(model, instances, units, { target: "logit" });
  const { predictions } = await evaluate(model, instances);
  expect(before.predictions).toEqual(predictions);
  expect(targetLabels).toEqual(predictions);
  expect(after.targetValues.reduce((sum, value, i) => sum + value - before.targetValues[i], 0)).toBeLessThan(0);
});

test("an intervention saves and loads", async () => {
  using model = await open("opt-classification");
  const result = await intervene(model, raggedInstances("classification", 2), [{ layer: 0, unit: 1 }], {
    kind: "scale",
    factor: -1,
  });
  const folder = join(mkdtempSync(join(tmpdir(), "intervene-")), "result");
  await save(result, folder);
  expect(await load<Intervention>(folder)).toEqual(result);
});

describe("refused are", () => {
  const unit = [{ layer: 0, unit: 0 }];
  test.each<[string, unknown, object, string, RegExp]>([
    ["no units", [], {}, "invalid", /"units"/],
    ["a layer that is not there", [{ layer: 2, unit: 0 }], {}, "invalid", /layer.*0–1/],
    ["a neuron that is not there", [{ layer: 0, unit: 40 }], {}, "invalid", /unit.*0–39 of the neurons/],
    ["a head that is not there", [{ layer: 0, unit: 4, site: "heads" }], {}, "invalid", /0–3 of the heads/],
    ["lists for fewer instances", [unit], {}, "invalid", /each of the 2/],
    ["a scale without factor", unit, { kind: "scale" }, "missing", /"factor"/],
    ["a replacement without baseline", unit, { kind: "replace" }, "missing", /"baseline"/],
    ["a factor of a suppression", unit, { factor: 2 }, "invalid", /"factor" has no meaning/],
    [
      "a baseline of a scale",
      unit,
      { kind: "scale", factor: 2, baseline: "zero" },
      "invalid",
      /"baseline" has no meaning/,
    ],
    ["an unknown kind", unit, { kind: "remove" }, "invalid", /"kind"/],
    ["an unknown site", [{ layer: 0, unit: 0, site: "head" }], {}, "invalid", /"site"/],
    ["too little memory", unit, { memory: 10 }, "memory", /"memory"/],
  ])("%s", async (_name, units, options, code, words) => {
    using model = await open("opt-classification");
    await expect(intervene(model, raggedInstances("classification", 2), units as never, options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });
});
