// The budget: estimated before, kept while running, refused where it cannot hold one row.
import { join } from "node:path";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { intervene } from "../../lib/neuron/intervene";
import { estimateNeuronMemory } from "../../lib/neuron/memory";
import { open, raggedInstances } from "../model/golden-tensors";
import { expectWithinBudget } from "../engine/peak-of-child";
import { refusal } from "../storage/refusal";

test.each(["opt-classification", "gpt-neox-choice", "llama", "gpt2"])(
  "the least budget that the estimate names for %s works, and one below it is refused in words",
  async (name) => {
    using model = await open(name);
    const instances = raggedInstances(model.architecture.head.kind);
    const scores = estimateNeuronMemory(model, instances, { memory: "64 MB" });
    expect(scores.least).toBe(scores.cache + Math.max(scores.forward, scores.row));
    expect(scores.result).toBe(instances.size * model.architecture.layers * model.architecture.intermediate * 4);
    expect([scores.fits, scores.rowsAtOnce > 1]).toEqual([true, true]);
    expect((await integratedGradients(model, instances, { memory: scores.least, nodes: 3 })).instances).toBe(
      instances.size,
    );
    await expect(integratedGradients(model, instances, { memory: scores.least - 1, nodes: 3 })).rejects.toMatchObject(
      refusal("memory", /takes about \d+ KB \(prefix cache \d+ KB.*raise "memory"/),
    );
    const { least, fits } = estimateNeuronMemory(model, instances, { work: "changes", memory: 100 });
    expect(fits).toBe(false);
    await intervene(model, instances, [{ layer: 0, unit: 0 }], { memory: least });
    await expect(intervene(model, instances, [{ layer: 0, unit: 0 }], { memory: least - 1 })).rejects.toMatchObject(
      refusal("memory", /"memory"/),
    );
    const all = estimateNeuronMemory(model, instances, { work: "forwards" });
    expect(
      (await integratedGradients(model, instances, { memory: all.least, nodes: 2, positions: "all" })).instances,
    ).toBe(instances.size);
  },
);

test("an estimate refuses what it does not know", async () => {
  using model = await open("gpt2");
  expect(() => estimateNeuronMemory(model, raggedInstances("causalLM"), { work: "all" as never })).toThrow(/"work"/);
  expect(() => estimateNeuronMemory(model, raggedInstances("causalLM"), { memory: "some" })).toThrow(/"memory"/);
});

test.each([
  ["integratedGradients", 96],
  ["integratedGradients", 256],
  ["languageModel", 256],
  ["comprehensiveness", 96],
  ["conductance", 256],
  ["stream", 96],
] as const)(
  "peak memory of %s above the loaded model stays within %d MB and a tenth, kernels that libtorch compiles aside",
  (work, budget) => {
    expectWithinBudget(join(__dirname, "peak-memory.ts"), work, budget);
  },
  300_000,
);
