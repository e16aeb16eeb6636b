// The intervention behind ablation, sufficiency and comprehensiveness: what the model says with chosen units changed.
import { createInstances } from "../../lib/data/instances";
import { evaluate } from "../../lib/model/evaluate";
import { handleOf } from "../../lib/model/model";
import { capture } from "../../lib/model/capture";
import { native, runNative } from "../../lib/native";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeUnitSetResult, NativeUnitSets } from "../../types/native";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, open, raggedInstances } from "../model/golden-tensors";
import { neuronGolden } from "../neuron/golden-instances";
import { refusal } from "../storage/refusal";

/** The golden values hold to 1e-7 in float64. */
const doubleTolerance = 1e-6;
/** Probabilities in float32, by two orders of the same sums. */
const singleTolerance = 1e-5;
const probability = { of: "probability", labels: "predicted" } as const;

/** Sets [instance][set] of units, changed. */
function changeUnits(
  model: Model,
  instances: Instances,
  sets: readonly (readonly (readonly number[])[])[],
  options: Partial<NativeUnitSets> = {},
): Promise<NativeUnitSetResult> {
  const all = sets.flat();
  const offsets = Int32Array.from({ length: all.length + 1 }, (_, i) =>
    all.slice(0, i).reduce((sum, set) => sum + set.length, 0),
  );
  const params: NativeUnitSets = {
    site: "neurons",
    change: "suppress",
    factor: 1,
    sets: sets[0].length,
    offsets,
    units: Int32Array.from(all.flat()),
    neuronReplacement: new Float32Array(0),
    headReplacement: new Float32Array(0),
    target: probability,
    fullPath: false,
    batchTokens: 4096,
    memoryBytes: 1 << 30,
    ...options,
  };
  return runNative((control) => native().changeUnits(handleOf(model), instances, params, control));
}

/** Some sets of units for each instance: none, one, several in both layers. */
const someSets = (instances: Instances, units: number) =>
  Array.from({ length: instances.size }, (_, i) => [
    [],
    [i % units],
    [(i * 3) % units, units + ((i * 5) % units)],
    [2 * units - 1],
    Array.from({ length: units }, (_, u) => u),
  ]);

/** Transformers computes the norms of Gemma in float32 whatever the model's type: its values carry that rounding. */
const singleNorms = 5e-6;

describe.each(familyCases)("%s", (name) => {
  const tolerance = name.startsWith("gemma") ? singleNorms : doubleTolerance;
  test.each([false, true])(
    "suppressed, kept, doubled and ablated units equal PyTorch's (full forwards: %s)",
    async (fullPath) => {
      using model = await open(name, { dtype: "float64" });
      const { wanted, instances } = await neuronGolden(name, model.architecture.head.kind);
      for (const site of ["neurons", "heads"] as const) {
        const {
          data,
          shape: [rows, count, size],
        } = wanted[`${site}.sets`];
        const sets = Array.from({ length: rows }, (_, row) =>
          Array.from({ length: count }, (_, set) =>
            Array.from(data.slice((row * count + set) * size, (row * count + set + 1) * size)),
          ),
        );
        for (const [golden, change, factor] of [
          ["suppressed", "suppress", 1],
          ["keptOnly", "keepOnly", 1],
          ["doubled", "scale", 2],
        ] as const) {
          const result = await changeUnits(model, instances, sets, { site, change, factor, fullPath });
          expect(relativeDifference(result.changedValues, wanted[`${site}.${golden}`].data)).toBeLessThan(tolerance);
          expect(Array.from(result.labels)).toEqual(Array.from(wanted["targetLabels"].data));
        }
        const ablation = wanted[`${site}.ablation`];
        const singles = Array.from({ length: rows }, () =>
          Array.from({ length: ablation.data.length / rows }, (_, unit) => [unit]),
        );
        const ablated = await changeUnits(model, instances, singles, { site, fullPath });
        expect(relativeDifference(ablated.changedValues, ablation.data)).toBeLessThan(tolerance);
        expect(relativeDifference(ablated.values, wanted["targetValues"].data)).toBeLessThan(tolerance);
      }
    },
  );
});

describe("changed units", () => {
  test.each(familyCases)(
    "of %s: one-token rows over the prefix equal full forwards, and changing nothing is a plain run",
    async (name) => {
      using model = await open(name);
      const instances = raggedInstances(model.architecture.head.kind);
      const plain = await evaluate(model, instances);
      for (const site of ["neurons", "heads"] as const) {
        const sets = someSets(instances, site === "heads" ? model.architecture.heads : model.architecture.intermediate);
        for (const change of ["suppress", "keepOnly", "scale"] as const) {
          const cached = await changeUnits(model, instances, sets, { site, change, factor: -1 });
          const full = await changeUnits(model, instances, sets, { site, change, factor: -1, fullPath: true });
          expect(relativeDifference(cached.changedValues, full.changedValues)).toBeLessThan(singleTolerance);
          expect(relativeDifference(cached.values, plain.probabilities)).toBeLessThan(singleTolerance);
          expect(cached.predictions).toEqual(plain.predictions);
          if (change === "keepOnly") continue;
          cached.values.forEach((value, i) =>
            expect(Math.abs(cached.changedValues[i * 5] - value)).toBeLessThan(singleTolerance),
          );
          expect(
            cached.changedValues.some((value, i) => Math.abs(value - cached.values[Math.floor(i / 5)]) > 1e-3),
          ).toBe(true);
        }
      }
    },
  );

  test("may become a replacement instead of zero: the unit's own value changes nothing", async () => {
    using model = await open("gpt2-classification");
    const instances = createInstances({ kind: "classification", rows: [[5, 6, 7]] });
    const { values } = await capture(model, instances);
    const units = model.architecture.intermediate;
    const sets = [[[0, 3, units + 2]]];
    const same = await changeUnits(model, instances, sets, { neuronReplacement: values });
    expect(Math.abs(same.changedValues[0] - same.values[0])).toBeLessThan(singleTolerance);
    const other = await changeUnits(model, instances, sets, { neuronReplacement: values.map((value) => value + 1) });
    expect(Math.abs(other.changedValues[0] - other.values[0])).toBeGreaterThan(1e-4);
  });

  test("do not depend on batches and memory", async () => {
    using model = await open("bloom");
    const instances = raggedInstances("causalLM");
    const sets = someSets(instances, model.architecture.intermediate);
    const whole = await changeUnits(model, instances, sets);
    const alone = await changeUnits(model, instances, sets, { batchTokens: 1 });
    const small = await changeUnits(model, instances, sets, { batchTokens: 1, memoryBytes: 40_000 });
    expect(relativeDifference(alone.changedValues, whole.changedValues)).toBeLessThan(singleTolerance);
    expect(relativeDifference(small.changedValues, whole.changedValues)).toBeLessThan(singleTolerance);
    await expect(changeUnits(model, instances, sets, { memoryBytes: 1 })).rejects.toMatchObject(
      refusal("memory", /"memory"/),
    );
  });

  test("outside the site are refused, and a run after is as one before", async () => {
    using model = await open("opt-classification");
    const instances = createInstances({ kind: "classification", rows: [[5, 6]] });
    const before = await evaluate(model, instances, { logits: true });
    const most = 2 * model.architecture.intermediate;
    await expect(changeUnits(model, instances, [[[most]]])).rejects.toMatchObject(refusal("invalid", /units within/));
    await expect(changeUnits(model, instances, [[[-1]]])).rejects.toMatchObject(refusal("invalid", /units within/));
    await expect(changeUnits(model, instances, [[[0]]], { sets: 2 })).rejects.toMatchObject(
      refusal("invalid", /offsets/),
    );
    await changeUnits(model, instances, [[[0, 1, 2, most - 1]]], { change: "keepOnly" });
    expect((await evaluate(model, instances, { logits: true })).logits).toEqual(before.logits);
  });
});
