// What happens inside the model equals transformers' golden values, in every type, batch and order. Logits and losses: load-model.test.ts.
import { concatInstances, selectInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { evaluate } from "../../lib/model/evaluate";
import { capture, readoutStates } from "../../lib/model/capture";
import { logitTolerance, relativeDifference } from "./golden-cases";
import {
  familyCases,
  goldenTensors,
  gradientName,
  instancesOf,
  languageModels,
  open,
  raggedInstances,
} from "./golden-tensors";

/** Two orders of summation in float32 differ by about 1e-7 a step; some hundred steps lie between input and result. */
const orderTolerance = 1e-5;
/** A squared norm doubles the relative error of its gradient, which itself is known to 1e-4 of its largest entry. */
const squareTolerance = 2e-4;
/** bfloat16 keeps 8 bits: 1/256 a step, a few of which add up. */
const halfTolerance = 0.06;

/** [token, layer, feature] of one layer as [token, feature]. */
function layerOf(values: Float32Array, count: number, layers: number, layer: number): Float32Array {
  const features = values.length / count / layers;
  return Float32Array.from(
    { length: count * features },
    (_, i) => values[(Math.floor(i / features) * layers + layer) * features + (i % features)],
  );
}

describe("captured values equal transformers' at every position", () => {
  test.each(languageModels)("of %s", async (name) => {
    using model = await open(name);
    const wanted = await goldenTensors(name, "golden.safetensors");
    const instances = await instancesOf(name, "causalLM");
    for (const [site, word] of [
      ["neurons", "mlp"],
      ["heads", "attention"],
    ] as const) {
      const { values, count, layers } = await capture(model, instances, { site, positions: "all" });
      expect(count).toBe(instances.tokens.length);
      for (const layer of layers) {
        expect(
          relativeDifference(layerOf(values, count, layers.length, layer), wanted[`${word}.${layer}`].data),
        ).toBeLessThan(logitTolerance);
      }
    }
  });

  test("and the readout position is the last token of each row", async () => {
    using model = await open("llama-gqa");
    const instances = await instancesOf("llama-gqa", "causalLM");
    const all = await capture(model, instances, { positions: "all", layers: [1] });
    const last = await capture(model, instances, { layers: [1] });
    expect(last.count).toBe(3);
    const picked = [1, 2, 3].flatMap((row) => {
      const token = instances.rowOffsets[row] - 1;
      return Array.from(all.values.subarray(token * all.features, (token + 1) * all.features));
    });
    expect(relativeDifference(last.values, picked)).toBeLessThan(orderTolerance);
  });

  test("and the activation of the pre-activations is the neurons", async () => {
    using model = await open("opt");
    const instances = await instancesOf("opt", "causalLM");
    const before = await capture(model, instances, { site: "preActivation", positions: "all" });
    const after = await capture(model, instances, { site: "neurons", positions: "all" });
    expect(
      relativeDifference(
        before.values.map((value) => Math.max(0, value)),
        after.values,
      ),
    ).toBeLessThan(orderTolerance);
    expect(before.values.some((value) => value < 0)).toBe(true);
  });
});

describe("the gradient of each module equals PyTorch's", () => {
  test.each(familyCases)("of %s", async (name) => {
    using model = await open(name);
    const wanted = await goldenTensors(name, "golden.safetensors");
    const first = selectInstances(await instancesOf(name, model.architecture.head.kind), [0]);
    const modules = modulesOf(model.architecture, ["*"]).filter((module) => !/^layers\.[^0]/.test(module));
    expect(modules.length).toBeGreaterThanOrEqual(7);
    for (const module of modules) {
      const parts = [`${module}.weight`, `${module}.bias`].map((weight) => wanted[gradientName(model, weight)]);
      expect(parts[0]).toBeDefined();
      const square = parts.reduce(
        (sum, part) =>
          sum + ((part?.data as Float32Array | undefined) ?? new Float32Array(0)).reduce((a, g) => a + g * g, 0),
        0,
      );
      const { scores } = await gradientSimilarity(model, first, first, { parameters: [module] });
      if (square === 0 && module.includes(".experts.")) {
        expect(scores[0]).toBe(0); // no token of the row goes there
        continue;
      }
      expect(square).toBeGreaterThan(0);
      expect(Math.abs(scores[0] / square - 1)).toBeLessThan(squareTolerance);
    }
  });
});

describe("batches change nothing", () => {
  test.each(familyCases)("for %s: one at a time, all together, and in another order", async (name) => {
    using model = await open(name);
    const kind = model.architecture.head.kind;
    const instances = raggedInstances(kind);
    const together = await evaluate(model, instances, { logits: true });
    const alone = await evaluate(model, instances, { logits: true, batchTokens: 1 });
    expect(relativeDifference(alone.logits!, together.logits!)).toBeLessThan(orderTolerance);
    expect(relativeDifference(alone.losses, together.losses)).toBeLessThan(orderTolerance);
    expect(relativeDifference(alone.probabilities, together.probabilities)).toBeLessThan(orderTolerance);
    expect(alone.predictions).toEqual(together.predictions);
    const order = [4, 0, 5, 2, 1, 3];
    const reordered = await evaluate(model, selectInstances(instances, order), { batchTokens: 20 });
    expect(
      relativeDifference(
        reordered.losses,
        order.map((i) => together.losses[i]),
      ),
    ).toBeLessThan(orderTolerance);
    expect(Array.from(reordered.predictions)).toEqual(order.map((i) => together.predictions[i]));
  });

  test("for readout states, and for an instance that comes twice", async () => {
    using model = await open("gpt-neox");
    const instances = raggedInstances("causalLM");
    const states = await readoutStates(model, instances);
    const doubled = await readoutStates(model, concatInstances([instances, instances]), { batchTokens: 30 });
    expect(relativeDifference(doubled, [...states, ...states])).toBeLessThan(orderTolerance);
  });
});

describe("in other types", () => {
  test.each(familyCases)("%s computes the same in float64, and nearly in bfloat16", async (name) => {
    const logits = async (dtype: "float32" | "float64" | "bfloat16") => {
      using model = await open(name, { dtype });
      const result = await evaluate(model, raggedInstances(model.architecture.head.kind), { logits: true });
      expect(model.dtype).toBe(dtype);
      return result.logits!;
    };
    const [single, double, half] = [await logits("float32"), await logits("float64"), await logits("bfloat16")];
    expect(relativeDifference(single, double)).toBeLessThan(orderTolerance);
    expect(relativeDifference(half, double)).toBeLessThan(halfTolerance);
    expect(relativeDifference(half, double)).toBeGreaterThan(orderTolerance);
  });
});
