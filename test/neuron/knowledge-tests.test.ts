// Tests of knowledge neurons against interventions made one by one, on a model that learnt facts in two wordings and both directions.
import { createInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import { fineTune } from "../../lib/model/fine-tune";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { intervene } from "../../lib/neuron/intervene";
import { categoricalChange, knowledgeSymmetry } from "../../lib/neuron/knowledge-tests";
import { refineNeurons } from "../../lib/neuron/refine";
import { mean } from "../../lib/statistics";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { RefinedNeuron, UnitPlace } from "../../types/results";
import { refusal } from "../storage/refusal";

// Tokens: subjects 10–15 and their synonyms 20–25; answers 30–35; 1 "the capital of", 2 "is", 3 "is the capital of".
const facts = [0, 1, 2, 3, 4, 5];
const rows = {
  prompts: facts.map((i) => [1, 10 + i, 2]),
  synonyms: facts.map((i) => [1, 20 + i, 2]),
  reversed: facts.map((i) => [30 + i, 3]),
};
const instances = (kind: keyof typeof rows): Instances =>
  createInstances({
    kind: "causalLM",
    rows: rows[kind],
    labels: facts.map((i) => (kind === "reversed" ? 10 : 30) + i),
  });

let base: Model;
let model: Model;
let units: readonly RefinedNeuron[];
beforeAll(async () => {
  base = await createModel(
    { model_type: "gpt2", vocab_size: 40, n_positions: 8, n_embd: 16, n_layer: 2, n_head: 2, initializer_range: 0.2 },
    { seed: 4 },
  );
  const train = createInstances({
    kind: "causalLM",
    rows: [...rows.prompts, ...rows.synonyms, ...rows.reversed],
    labels: [...facts.map((i) => 30 + i), ...facts.map((i) => 30 + i), ...facts.map((i) => 10 + i)],
  });
  model = await fineTune(base, train, { epochs: 60, batchSize: 6, learningRate: 5e-3, dropout: false });
  const na = await integratedGradients(model, instances("prompts"), { site: "both", of: "gold" });
  units = await refineNeurons(na, { select: { topK: 12 }, share: 0.3 });
});
afterAll(() => [base, model].forEach((each) => each.close()));

const change = { target: "logProbability", of: "gold", engine: "full" } as const;

test("symmetry is the counterparts' mean change over the prompts', each change an intervention's", async () => {
  expect(units.length).toBeGreaterThan(1);
  for (const kind of ["synonyms", "reversed"] as const) {
    const found = await knowledgeSymmetry(model, instances("prompts"), instances(kind), units, { controls: 2 });
    const changes = await Promise.all(
      (["prompts", kind] as const).map(async (each) => {
        const { before, after } = await intervene(model, instances(each), units, change);
        return after.targetValues.map((value, i) => value - before.targetValues[i]);
      }),
    );
    [found.perPrompt, found.perCounterpart].forEach((own, which) =>
      own.forEach((value, i) => expect(value).toBeCloseTo(changes[which][i], 4)),
    );
    expect(found.change.mean).toBeCloseTo(mean(changes[0]), 4);
    expect(found.counterpartChange.mean).toBeCloseTo(mean(changes[1]), 4);
    expect(found.symmetry.mean).toBeCloseTo(mean(changes[1]) / mean(changes[0]), 3);
    expect(found.change.mean).toBeLessThan(found.randomChange.mean);
  }
});

test("each prompt may have units of its own, and a seed gives the same random ones", async () => {
  const own = facts.map((i): UnitPlace[] =>
    i % 2 === 0 ? [{ layer: 1, unit: i, site: "neurons" }] : [{ layer: 0, unit: 1, site: "heads" }],
  );
  const run = (seed: number) =>
    knowledgeSymmetry(model, instances("prompts"), instances("synonyms"), own, { kind: "scale", factor: 2, seed });
  const [first, again, other] = [await run(1), await run(1), await run(2)];
  expect(again).toEqual(first);
  expect(other.perPrompt).toEqual(first.perPrompt);
  expect(other.randomChange).not.toEqual(first.randomChange);
  const { before, after } = await intervene(model, instances("prompts"), own, { ...change, kind: "scale", factor: 2 });
  first.perPrompt.forEach((value, i) => expect(value).toBeCloseTo(after.targetValues[i] - before.targetValues[i], 4));
});

test("a categorical change is another most probable token, not only a less probable answer", async () => {
  const found = await categoricalChange(model, instances("prompts"), units, { controls: 3 });
  const { before, after } = await intervene(model, instances("prompts"), units, change);
  const flipped = facts.map((i) => after.predictions[i] !== before.predictions[i]);
  const falls = facts.map((i) => !flipped[i] && after.targetValues[i] < before.targetValues[i]);
  const right = facts.filter((i) => before.predictions[i] === 30 + i);
  expect([found.predictions, found.changedPredictions]).toEqual([before.predictions, after.predictions]);
  expect(found.changed.mean).toBeCloseTo(mean(flipped.map(Number)), 10);
  expect(found.onlyProbability.mean).toBeCloseTo(mean(falls.map(Number)), 10);
  expect(found.answered).toBe(right.length);
  expect(found.stillAnswered!.mean).toBeCloseTo(mean(right.map((i) => Number(!flipped[i]))), 10);
  expect(found.randomChanged.mean).toBeLessThanOrEqual(found.changed.mean);
});

test.each<[string, () => Promise<unknown>, string, RegExp]>([
  [
    "other than one counterpart for each prompt",
    () =>
      knowledgeSymmetry(
        model,
        instances("prompts"),
        createInstances({ kind: "causalLM", rows: [[1]], labels: [2] }),
        units,
      ),
    "mismatch",
    /a counterpart for each/,
  ],
  [
    "prompts without answers",
    () => categoricalChange(model, createInstances({ kind: "causalLM", rows: [[1, 2]] }), units),
    "missing",
    /label/,
  ],
  [
    "units kept alone",
    () => categoricalChange(model, instances("prompts"), units, { kind: "keepOnly" as never }),
    "invalid",
    /"kind"/,
  ],
  [
    "a unit outside the model",
    () => categoricalChange(model, instances("prompts"), [{ layer: 9, unit: 0 }]),
    "invalid",
    /within 0–1/,
  ],
])("%s is refused", async (_name, call, code, words) => {
  await expect(call()).rejects.toMatchObject(refusal(code as never, words));
});
