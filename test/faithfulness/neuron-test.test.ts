// Sufficiency and comprehensiveness: the curve, its random controls, and what they refuse.
import { createInstances } from "../../lib/data/instances";
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { insertion } from "../../lib/faithfulness/insertion";
import { sufficiency } from "../../lib/faithfulness/sufficiency";
import { unitSets } from "../../lib/faithfulness/unit-sets";
import { fineTune } from "../../lib/model/fine-tune";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { createRandom } from "../../lib/random";
import type { Instances } from "../../types/data";
import type { Estimate, NeuronAttribution, NeuronFaithfulness } from "../../types/results";
import { neuronsOf, provenanceOf } from "../results/sample";
import { open, raggedInstances } from "../model/golden-tensors";
import { neuronGolden } from "../neuron/golden-instances";
import { refusal } from "../storage/refusal";

/** Probabilities in float32, by two orders of the same sums. */
const tolerance = 1e-5;

/** An attribution of these instances with other scores. */
function scored(of: NeuronAttribution, score: (index: number) => number): NeuronAttribution {
  return { ...of, scores: Float32Array.from({ length: of.scores.length }, (_, i) => score(i)) };
}

const means = ({ points }: NeuronFaithfulness) =>
  points.flatMap(({ probabilityChange, changedPredictions, randomProbabilityChange, randomChangedPredictions }) =>
    [probabilityChange, changedPredictions, randomProbabilityChange, randomChangedPredictions].map(({ mean }) => mean),
  );
const overlap = (a: Estimate, b: Estimate) => a.low <= b.high && b.low <= a.high;

describe("the curves", () => {
  test.each(["gpt-neox-choice", "bloom", "opt-classification"])(
    "of %s are the same by the cache and by full forwards",
    async (name) => {
      using model = await open(name);
      const instances = raggedInstances(model.architecture.head.kind);
      for (const site of ["neurons", "heads"] as const) {
        const attribution = await integratedGradients(model, instances, { site, nodes: 5 });
        const options = { r: [1, 2, 4], controls: 2 };
        for (const run of [sufficiency, comprehensiveness]) {
          const cached = await run(model, instances, attribution, options);
          const full = await run(model, instances, attribution, { ...options, engine: "full" });
          means(cached).forEach((value, i) => expect(Math.abs(value - means(full)[i])).toBeLessThan(tolerance));
          expect(cached.site).toBe(site);
        }
      }
    },
  );

  test("take the top units of each instance: the change of one is PyTorch's ablation", async () => {
    using model = await open("gpt2", { dtype: "float64" });
    const { wanted, instances } = await neuronGolden("gpt2", "causalLM");
    const base = await integratedGradients(model, instances);
    const all = base.layers * base.units;
    const top = [3, base.units + 7, 11]; // another unit for each row
    const attribution = scored(base, (i) => (i % all === top[Math.floor(i / all)] ? 2 : i % all === 0 ? 1 : 0));
    const { points, aopc } = await comprehensiveness(model, instances, attribution, { r: [1] });
    const changes = top.map(
      (unit, row) => wanted["neurons.ablation"].data[row * all + unit] - wanted["targetValues"].data[row],
    );
    const mean = changes.reduce((a, b) => a + b, 0) / 3;
    expect(Math.abs(points[0].probabilityChange.mean - mean)).toBeLessThan(1e-6); // golden values hold to 1e-7
    expect(aopc).toBe(points[0].probabilityChange.mean);
    expect(points[0].probabilityChange.low).toBeLessThanOrEqual(mean + 1e-6);
    expect(points[0].probabilityChange.high).toBeGreaterThanOrEqual(mean - 1e-6);
  });

  test("with all units: sufficiency changes nothing, and comprehensiveness as much as its control", async () => {
    using model = await open("llama-classification");
    const instances = raggedInstances("classification");
    for (const site of ["neurons", "heads"] as const) {
      const attribution = await integratedGradients(model, instances, { site });
      const r = [attribution.layers * attribution.units];
      const kept = await sufficiency(model, instances, attribution, { r });
      means(kept).forEach((value) => expect(Math.abs(value)).toBeLessThan(tolerance));
      const {
        points: [removed],
      } = await comprehensiveness(model, instances, attribution, { r });
      expect(Math.abs(removed.probabilityChange.mean - removed.randomProbabilityChange.mean)).toBeLessThan(tolerance);
      expect(Math.abs(removed.probabilityChange.mean)).toBeGreaterThan(1e-3);
    }
  });

  test("are the same for the same seed, and their controls others for another", async () => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification");
    const attribution = await integratedGradients(model, instances);
    const run = (seed: number, more = {}) =>
      comprehensiveness(model, instances, attribution, { r: [5, 10], seed, ...more });
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    expect(again.points).toEqual(first.points);
    expect(other.randomAopc).not.toBe(first.randomAopc);
    expect(other.aopc).toBe(first.aopc);
    const unordered = await run(1, { r: [10, 5, 5] });
    expect(unordered.points.map(({ r }) => r)).toEqual([5, 10]);
    expect(unordered.aopc).toBeCloseTo(first.aopc, 5);
    expect(first.aopc).toBeCloseTo(
      (first.points[0].probabilityChange.mean + first.points[1].probabilityChange.mean) / 2,
      12,
    );
  });

  test("of the paper's preset have its sizes", async () => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification", 2);
    const attribution = await integratedGradients(model, instances, { preset: "paper" });
    const { points } = await sufficiency(model, instances, attribution, {
      preset: "paper",
      controls: 1,
      r: [1, 2, 5, 10, 50],
    });
    expect(points.map(({ r }) => r)).toEqual([1, 2, 5, 10, 50]);
    await expect(sufficiency(model, instances, attribution, { preset: "paper" })).rejects.toMatchObject(
      refusal("invalid", /at most the site's 80 units.*100/s),
    );
  });
});

/** A model that has learnt something, and instances that it was trained on. */
async function trained(): Promise<{ model: Awaited<ReturnType<typeof open>>; instances: Instances }> {
  using base = await open("gpt-neox-classification");
  const rows = Array.from({ length: 60 }, (_, i) =>
    Int32Array.from({ length: 4 + (i % 5) }, (_, t) => 4 + ((i * 37 + t * 11) % 80)),
  );
  const instances = createInstances({
    kind: "classification",
    rows,
    labels: rows.map((row) => row[row.length - 1] % 3),
  });
  return {
    model: await fineTune(base, instances, { epochs: 8, batchSize: 10, learningRate: 5e-3, dropout: false }),
    instances,
  };
}

describe("against chance", () => {
  test("a random attribution is no more faithful than its control, an honest one is", async () => {
    const { model, instances } = await trained();
    const honest = await integratedGradients(model, instances);
    const random = createRandom(7);
    const chance = scored(honest, () => random.uniform());
    const options = { r: [1, 5, 20], controls: 10 };
    for (const run of [comprehensiveness, sufficiency]) {
      for (const point of (await run(model, instances, chance, options)).points) {
        expect(overlap(point.probabilityChange, point.randomProbabilityChange)).toBe(true);
        expect(overlap(point.changedPredictions, point.randomChangedPredictions)).toBe(true);
      }
    }
    const removed = (await comprehensiveness(model, instances, honest, options)).points[2];
    expect(removed.probabilityChange.high).toBeLessThan(removed.randomProbabilityChange.low);
    const kept = (await sufficiency(model, instances, honest, options)).points[2];
    expect(kept.probabilityChange.low).toBeGreaterThan(kept.randomProbabilityChange.high);
    model.close();
  });

  test("controls are distinct units, as many as the set, from the site or from the same layers", async () => {
    const attribution = neuronsOf(
      [
        [9, 8, 7, 0, 1, 6, 0, 0],
        [0, 0, 0, 0, 1, 2, 3, 4],
      ],
      2,
    );
    const plan = { sizes: [1, 3], controls: 20, seed: 3 };
    const all = async (controlFrom: "site" | "sameLayers") => {
      const { sets, offsets, units } = await unitSets(attribution, { ...plan, controlFrom }, async () => undefined);
      expect(sets).toBe(42);
      return Array.from({ length: 2 * sets }, (_, set) => Array.from(units.subarray(offsets[set], offsets[set + 1])));
    };
    for (const controlFrom of ["site", "sameLayers"] as const) {
      const sets = await all(controlFrom);
      expect([sets[0], sets[21], sets[42], sets[63]]).toEqual([[0], [0, 1, 2], [7], [7, 6, 5]]);
      sets.forEach((set, i) => {
        expect(set).toHaveLength(i % 42 < 21 ? 1 : 3);
        expect(new Set(set).size).toBe(set.length);
        if (controlFrom === "sameLayers")
          expect(set.every((unit) => Math.floor(unit / 4) === (i < 42 ? 0 : 1))).toBe(true);
      });
      expect(new Set(sets.slice(22, 42).map((set) => [...set].sort().join())).size).toBeGreaterThan(1);
    }
    expect(
      (await all("site"))
        .slice(0, 42)
        .flat()
        .some((unit) => unit >= 4),
    ).toBe(true);
  });
});

describe("refused are", () => {
  test.each<[string, object, string, RegExp]>([
    ["more units than there are", { r: [81] }, "invalid", /at most the site's 80 units/],
    ["no sizes", { r: [] }, "invalid", /"r"/],
    ["a size of 0", { r: [0, 1] }, "invalid", /"r"/],
    ["no controls", { controls: 0 }, "invalid", /"controls"/],
    ["another source of controls", { controlFrom: "layers" }, "invalid", /"controlFrom"/],
    ["a misspelt option", { size: 3 }, "unknown", /"size"/],
  ])("%s", async (_name, options, code, words) => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification", 2);
    const attribution = neuronsOf([new Array<number>(80).fill(0), new Array<number>(80).fill(1)], 2, {
      instanceIds: ["0", "1"],
      provenance: provenanceOf("any", model.hash),
    });
    await expect(sufficiency(model, instances, attribution, options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });

  test("attributions of another model or of other instances", async () => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification", 1);
    const zeros = (count: number) => new Array<number>(count).fill(0);
    const run = (attribution: NeuronAttribution) => comprehensiveness(model, instances, attribution, { r: [1] });
    await expect(run(neuronsOf([zeros(60)], 2, { instanceIds: ["0"] }))).rejects.toMatchObject(
      refusal("mismatch", /2 × 30/),
    );
    await expect(run(neuronsOf([zeros(80)], 1, { instanceIds: ["0"] }))).rejects.toMatchObject(
      refusal("mismatch", /1 × 80/),
    );
    await expect(run(neuronsOf([zeros(80)], 2, { instanceIds: ["0"], site: "heads" }))).rejects.toMatchObject(
      refusal("mismatch", /heads/),
    );
    await expect(run(neuronsOf([zeros(80)], 2, { instanceIds: ["other"] }))).rejects.toMatchObject(
      refusal("mismatch", /same ids/),
    );
    await expect(run(neuronsOf([zeros(80), zeros(80)], 2, { instanceIds: ["0", "1"] }))).rejects.toMatchObject(
      refusal("mismatch", /rows/),
    );
    const foreign = neuronsOf([zeros(80)], 2, {
      instanceIds: ["0"],
      provenance: provenanceOf("integratedGradients", "deadbeef"),
    });
    await expect(run(foreign)).rejects.toMatchObject(refusal("mismatch", /of another model \(deadbeef, not/));
    await expect(insertion(model, instances, foreign)).rejects.toMatchObject(refusal("mismatch", /of another model/));
    expect((await comprehensiveness(model, instances, foreign, { r: [1], acrossModels: "allow" })).points).toHaveLength(
      1,
    );
    expect(
      (await run({ ...foreign, provenance: provenanceOf("integratedGradients", model.hash) })).points,
    ).toHaveLength(1);
  });
});
