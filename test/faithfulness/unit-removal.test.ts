// What raises a unit, tested by retraining: against trainings made one by one, and on data where the cause is known.
import { createInstances, selectInstances } from "../../lib/data/instances";
import { unitRemovalCurve } from "../../lib/faithfulness/unit-removal-curve";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { randomInstances } from "../../lib/instance/random";
import { capture } from "../../lib/model/capture";
import { createModel } from "../../lib/model/create-model";
import { fineTune } from "../../lib/model/fine-tune";
import { mean } from "../../lib/statistics";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { refusal } from "../storage/refusal";

const config = {
  model_type: "gpt2",
  vocab_size: 40,
  n_positions: 16,
  n_embd: 16,
  n_layer: 1,
  n_head: 2,
  resid_pdrop: 0,
  embd_pdrop: 0,
  attn_pdrop: 0,
};
const tuning = { epochs: 4, batchSize: 4, learningRate: 5e-3, dropout: false } as const;
const of = { unit: { layer: 0, unit: 3 } };

let base: Model;
let train: Instances;
let queries: Instances;
beforeAll(async () => {
  base = await createModel(config, { seed: 3 });
  const rows = Array.from({ length: 20 }, (_, i) => [4 + (i % 6), 10 + ((i * 3) % 7), 20 + (i % 2)]);
  train = createInstances({ kind: "causalLM", rows, ids: rows.map((_, i) => `t${i}`) });
  queries = createInstances({
    kind: "causalLM",
    rows: [
      [4, 10, 20],
      [6, 12],
    ],
    ids: ["q0", "q1"],
  });
});
afterAll(() => base.close());

/** The unit's mean activation after training, read by `capture`. */
async function activationAfter(rows: Instances, seed: number, instanceWeights?: Float64Array): Promise<number> {
  using tuned = await fineTune(base, rows, { ...tuning, seed, ...(instanceWeights && { instanceWeights }) });
  const { values, count } = await capture(tuned, queries, { site: "neurons" });
  return mean(Array.from({ length: count }, (_, i) => values[i * (values.length / count) + of.unit.unit]));
}

test("its shifts are those of trainings made one by one", async () => {
  const influence = await gradientSimilarity(base, train, queries, { parameters: "linear", of });
  const sums = Array.from({ length: 20 }, (_, i) => influence.scores[i] + influence.scores[20 + i]);
  const best = sums.map((_, i) => i).sort((a, b) => sums[b] - sums[a] || a - b);
  const attributions = { similarity: influence, random: await randomInstances(train, queries) };
  const options = { of, fractions: [0.1, 0.25], seeds: [1, 2], fineTune: tuning };
  const curve = await unitRemovalCurve(base, train, queries, attributions, options);
  expect(curve.trainings).toBe(2 * (1 + 2 * 2 * 3));
  const wholes = [await activationAfter(train, 1), await activationAfter(train, 2)];
  expect(curve.whole.mean).toBeCloseTo(mean(wholes), 6);
  const [{ name, points }] = curve.methods;
  expect(name).toBe("similarity");
  for (const point of points) {
    const chosen = new Set(best.slice(0, point.instances));
    expect(point.instances).toBe(point.fraction === 0.1 ? 2 : 5);
    const copies = (i: number) => (chosen.has(i) ? (point.change === "removed" ? [] : [i, i]) : [i]);
    const rows = selectInstances(train, train.ids.map((_, i) => copies(i)).flat());
    for (const [at, seed] of [1, 2].entries())
      expect(point.shifts[at]).toBeCloseTo((await activationAfter(rows, seed)) - wholes[at], 6);
    expect(point.shift.mean).toBeCloseTo(mean(point.shifts), 10);
    expect(point.excess.mean).toBeCloseTo(mean(point.shifts) - mean(point.randomShifts), 10);
  }
  expect(await unitRemovalCurve(base, train, queries, attributions, options)).toEqual(curve);
});

test("by weight the batches stay, and the loss of the share counts nothing or twice", async () => {
  const similarity = await gradientSimilarity(base, train, queries, { parameters: "linear", of });
  const options = { of, fractions: [0.2], seeds: [1], controls: 2, by: "weight", fineTune: tuning } as const;
  const curve = await unitRemovalCurve(base, train, queries, { similarity }, options);
  const sums = Array.from({ length: 20 }, (_, i) => similarity.scores[i] + similarity.scores[20 + i]);
  const best = sums.map((_, i) => i).sort((a, b) => sums[b] - sums[a] || a - b);
  const whole = await activationAfter(train, 1);
  for (const [at, factor] of [0, 2].entries()) {
    const weights = Float64Array.from(sums, (_, i) => (best.indexOf(i) < 4 ? factor : 1));
    expect(curve.methods[0].points[at].shift.mean).toBeCloseTo((await activationAfter(train, 1, weights)) - whole, 6);
  }
});

test("without what raises the unit it falls, with more of it it rises, and more than by random shares", async () => {
  const slow = { ...tuning, learningRate: 1e-3 };
  using tuned = await fineTune(base, train, slow);
  const similarity = await gradientSimilarity(tuned, train, queries, { parameters: "linear", of });
  const options = { of, fractions: [0.25], seeds: [1, 2, 3], controls: 3, by: "weight", fineTune: slow } as const;
  const [removed, doubled] = (await unitRemovalCurve(base, train, queries, { similarity }, options)).methods[0].points;
  expect(removed.excess.high).toBeLessThan(0);
  expect(doubled.excess.low).toBeGreaterThan(0);
});

test.each<[string, object, string, RegExp]>([
  ["no quantity", { of: undefined }, "missing", /name it in "of"/],
  ["a unit outside the model", { of: { unit: { layer: 4, unit: 0 } } }, "invalid", /within 0–0/],
  ["a share that leaves nothing", { fractions: [1] }, "invalid", /"fractions"/],
  ["an unknown change", { changes: ["tripled"] }, "invalid", /doubled/],
  ["weights of its own", { fineTune: { instanceWeights: [1] } }, "unsupported", /instanceWeights/],
  ["no seeds", { seeds: [] }, "invalid", /"seeds"/],
])("%s is refused", async (_name, options, code, words) => {
  const random = await randomInstances(train, queries);
  const call = unitRemovalCurve(base, train, queries, { random }, { of, ...options });
  await expect(call).rejects.toMatchObject(refusal(code as never, words));
});

test("an attribution without a name, or of other queries, is refused", async () => {
  const random = await randomInstances(train, queries);
  await expect(unitRemovalCurve(base, train, queries, random as never, { of })).rejects.toMatchObject(
    refusal("invalid", /by name/),
  );
  await expect(unitRemovalCurve(base, train, train, { random }, { of })).rejects.toMatchObject(
    refusal("mismatch", /same ids/),
  );
});
