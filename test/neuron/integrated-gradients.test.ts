// Invariants of neuron scores, and what they refuse. Golden values: golden-scores.test.ts; known answers: trap.test.ts.
import { createInstances, selectInstances } from "../../lib/data/instances";
import { evaluate } from "../../lib/model/evaluate";
import { capture } from "../../lib/model/capture";
import { gradient } from "../../lib/neuron/gradient";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { integratedGradients, type IntegratedGradientsOptions } from "../../lib/neuron/integrated-gradients";
import { refusal } from "../storage/refusal";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, open, raggedInstances } from "../model/golden-tensors";

/** float32 through two different orders of the same sums. */
const orderTolerance = 1e-5;
/** Gauss-Legendre on a smooth path converges faster than any power; what is left is float64's and the scores' float32. */
const smoothTolerance = 1e-6;
/** bfloat16 keeps 8 bits in every value and gradient of the path. */
const halfTolerance = 0.15;

const smooth = [
  "gpt-neox-classification",
  "llama-classification",
  "bloom-classification",
  "gpt2-classification",
  "gpt-neox-choice",
];

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);
const largest = (values: ArrayLike<number>) => Math.max(...Array.from(values, Math.abs));

describe("the prefix cache equals full forwards", () => {
  test.each(familyCases)("for %s, rows of one token included", async (name) => {
    using model = await open(name);
    const instances = raggedInstances(model.architecture.head.kind);
    for (const site of ["neurons", "heads"] as const) {
      const options: IntegratedGradientsOptions = { site, nodes: 5, target: "logProbability" };
      const cached = await integratedGradients(model, instances, options);
      const full = await integratedGradients(model, instances, { ...options, engine: "full" });
      expect(relativeDifference(cached.scores, full.scores)).toBeLessThan(orderTolerance);
      expect(largest(cached.completenessGap.map((gap, i) => gap - full.completenessGap[i]))).toBeLessThan(
        orderTolerance,
      );
      expect(cached.targetLabels).toEqual(full.targetLabels);
      expect(largest(cached.scores)).toBeGreaterThan(1e-4);
    }
  });

  test.each(["opt", "llama-gqa", "bloom-odd-heads", "gpt-neox-choice"])(
    "loosely in bfloat16, and both are near float32, for %s",
    async (name) => {
      using half = await open(name, { dtype: "bfloat16" });
      using single = await open(name);
      const instances = raggedInstances(half.architecture.head.kind);
      const gold = Array.from((await evaluate(single, instances)).predictions);
      const options = { target: "logit", of: gold } as const;
      const exact = await integratedGradients(single, instances, options);
      for (const engine of ["cache", "full"] as const) {
        const { scores } = await integratedGradients(half, instances, { ...options, engine });
        expect(relativeDifference(scores, exact.scores)).toBeLessThan(halfTolerance);
      }
    },
  );

  test("for gradients of a choice, whose units lie in the chosen row alone", async () => {
    using model = await open("gpt-neox-choice");
    const instances = raggedInstances("choice");
    const options = { of: "gold", target: "probability" } as const;
    for (const method of [gradient, gradientTimesActivation]) {
      const cached = await method(model, instances, options);
      expect(
        relativeDifference(cached.scores, (await method(model, instances, { ...options, engine: "full" })).scores),
      ).toBeLessThan(orderTolerance);
    }
    // Another choice's tokens change the softmax but not the row's own logit.
    const [first, second] = [
      [5, 6, 7],
      [8, 9],
    ];
    const choice = (other: number[]) =>
      createInstances({ kind: "choice", rows: [first, other], groups: [2], labels: [0] });
    const logit = (other: number[], target: "logit" | "probability") =>
      integratedGradients(model, choice(other), { of: "gold", target });
    expect(
      relativeDifference((await logit(second, "logit")).scores, (await logit([20, 21, 22, 23], "logit")).scores),
    ).toBeLessThan(orderTolerance);
    expect(
      relativeDifference(
        (await logit(second, "probability")).scores,
        (await logit([20, 21, 22, 23], "probability")).scores,
      ),
    ).toBeGreaterThan(1e-3);
  });
});

describe("completeness", () => {
  test.each(smooth)("holds per layer with many nodes, at the readout and at all positions, for %s", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const instances = raggedInstances(model.architecture.head.kind);
    for (const site of ["neurons", "heads"] as const) {
      for (const positions of ["readout", "all"] as const) {
        const fine = await integratedGradients(model, instances, { site, positions, nodes: 60 });
        expect(fine.completenessGap).toHaveLength(instances.size * model.architecture.layers);
        expect(largest(fine.completenessGap)).toBeLessThan(smoothTolerance);
        const coarse = await integratedGradients(model, instances, { site, positions, nodes: 1 });
        expect(largest(coarse.completenessGap)).toBeGreaterThan(largest(fine.completenessGap));
      }
    }
  });

  test("speaks of F(w) − F(w⁰): with the value itself as baseline nothing is left to share", async () => {
    using model = await open("gpt2-classification");
    const [instance] = [selectInstances(raggedInstances("classification"), [2])];
    const { values } = await capture(model, instance);
    const same = await integratedGradients(model, instance, { baseline: values, target: "logit" });
    const halfway = await integratedGradients(model, instance, {
      baseline: values.map((value) => value / 2),
      target: "logit",
      nodes: 40,
    });
    const whole = await integratedGradients(model, instance, { target: "logit", nodes: 40 });
    expect(largest(same.scores)).toBeLessThan(orderTolerance * largest(whole.scores));
    expect(largest(halfway.completenessGap)).toBeLessThan(orderTolerance);
    expect(Math.abs(sum(halfway.scores))).toBeGreaterThan(orderTolerance);
    expect(relativeDifference(halfway.scores, whole.scores)).toBeGreaterThan(0.1);
  });

  test("a baseline speaks of each head's features", async () => {
    using model = await open("gpt2-classification");
    const instance = selectInstances(raggedInstances("classification"), [0]);
    const { values } = await capture(model, instance, { site: "heads" });
    const { heads, headSize, layers } = model.architecture;
    const onlyFirst = values.map((value, i) => (i % (heads * headSize) < headSize ? 0 : value));
    const { scores } = await integratedGradients(model, instance, { site: "heads", baseline: onlyFirst });
    const zero = largest(scores) * orderTolerance;
    scores.forEach((score, i) => expect(Math.abs(score) > zero).toBe(i % heads === 0));
    expect(scores).toHaveLength(layers * heads);
  });
});

describe("targets", () => {
  test.each(["logit", "probability", "logProbability"] as const)(
    "with a contrast are the difference of two for %s",
    async (target) => {
      using model = await open("opt-classification", { dtype: "float64" });
      const instances = raggedInstances("classification");
      const [of, contrast] = [
        [0, 1, 2, 0, 1, 2],
        [1, 2, 0, 2, 0, 1],
      ];
      const both = await integratedGradients(model, instances, { target, of, contrast, nodes: 20 });
      const first = await integratedGradients(model, instances, { target, of, nodes: 20 });
      const second = await integratedGradients(model, instances, { target, of: contrast, nodes: 20 });
      expect(
        relativeDifference(
          both.scores,
          first.scores.map((score, i) => score - second.scores[i]),
        ),
      ).toBeLessThan(orderTolerance);
      both.targetValues.forEach((value, i) =>
        expect(value).toBeCloseTo(first.targetValues[i] - second.targetValues[i], 6),
      );
      expect(Array.from(both.targetLabels)).toEqual(of);
    },
  );

  test("are the model's own probabilities, of the prediction or of the gold class", async () => {
    using model = await open("llama-classification");
    const instances = raggedInstances("classification");
    const { probabilities, predictions, losses } = await evaluate(model, instances);
    const predicted = await gradient(model, instances);
    expect(relativeDifference(predicted.targetValues, probabilities)).toBeLessThan(orderTolerance);
    expect(Array.from(predicted.targetLabels)).toEqual(Array.from(predictions));
    const gold = await gradient(model, instances, { of: "gold", target: "logProbability" });
    expect(
      relativeDifference(
        gold.targetValues,
        losses.map((loss) => -loss),
      ),
    ).toBeLessThan(orderTolerance);
    expect(Array.from(gold.targetLabels)).toEqual(Array.from(instances.labels));
  });
});

describe("neither batch, memory nor order changes a score", () => {
  test.each(["gpt2", "bloom", "gpt-neox-choice"])("of %s", async (name) => {
    using model = await open(name);
    const instances = raggedInstances(model.architecture.head.kind);
    const whole = await integratedGradients(model, instances);
    const alone = await integratedGradients(model, instances, { batchTokens: 1 });
    expect(relativeDifference(alone.scores, whole.scores)).toBeLessThan(orderTolerance);
    const small = await leastMemory((memory) => integratedGradients(model, instances, { batchTokens: 1, memory }));
    expect(relativeDifference(small.scores, whole.scores)).toBeLessThan(orderTolerance);
    const order = [5, 3, 1, 0, 2, 4];
    const shuffled = await integratedGradients(model, selectInstances(instances, order), { batchTokens: 40 });
    const units = whole.layers * whole.units;
    order.forEach((from, to) => {
      expect(
        relativeDifference(
          shuffled.scores.subarray(to * units, (to + 1) * units),
          whole.scores.subarray(from * units, (from + 1) * units),
        ),
      ).toBeLessThan(orderTolerance);
    });
  });

  test("and all positions of a row of one token are its readout", async () => {
    using model = await open("opt-classification");
    const instances = createInstances({ kind: "classification", rows: [[5], [6]] });
    const all = await integratedGradients(model, instances, { positions: "all" });
    expect(
      relativeDifference(all.scores, (await integratedGradients(model, instances, { nodes: 20 })).scores),
    ).toBeLessThan(orderTolerance);
    const longer = createInstances({ kind: "classification", rows: [[5, 9, 11]] });
    expect((await integratedGradients(model, longer, { positions: "all" })).scores).not.toEqual(
      (await integratedGradients(model, longer)).scores,
    );
  });

  test("but a budget that holds not one row is refused, and a larger one works after", async () => {
    using model = await open("gpt2");
    const instances = raggedInstances("causalLM");
    await expect(integratedGradients(model, instances, { memory: 1 })).rejects.toMatchObject(
      refusal("memory", /"memory"/),
    );
    expect((await integratedGradients(model, instances, { memory: "64 MB" })).instances).toBe(6);
  });
});

/** The result under the least budget (within a factor of two) that is not refused: one changed row at a time. */
async function leastMemory<T>(run: (memory: number) => Promise<T>): Promise<T> {
  for (let memory = 1024; ; memory *= 2) {
    const result = await run(memory).catch((error: { code?: string }) => {
      if (error.code !== "memory") throw error;
      return undefined;
    });
    if (result !== undefined) return result;
  }
}

describe("refused are", () => {
  test.each<[string, object, string, RegExp]>([
    ["a misspelt option", { node: 5 }, "unknown", /"node"/],
    ["no nodes", { nodes: 0 }, "invalid", /"nodes"/],
    ["an unknown site", { site: "neuron" }, "invalid", /"site"/],
    ["the paper's preset on heads", { preset: "paper", site: "heads" }, "invalid", /contradicts/],
    ["a baseline of another size", { baseline: new Float32Array(3) }, "invalid", /"baseline"/],
    ["a class that the head has not", { of: [0, 1, 2, 3, 0, 0] }, "invalid", /received 3 for instance 3/],
    ["classes for fewer instances", { of: [0] }, "invalid", /"of"/],
    ["a contrast class that the head has not", { of: "gold", contrast: [9, 0, 0, 0, 0, 0] }, "invalid", /contrast/],
    ["an unknown target", { target: "loss" }, "invalid", /"target"/],
    ["a memory that is no size", { memory: "lots" }, "invalid", /"memory"/],
  ])("%s", async (_name, options, code, words) => {
    using model = await open("opt-classification");
    await expect(integratedGradients(model, raggedInstances("classification"), options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });

  test("the gold class where there is none", async () => {
    using model = await open("opt-classification");
    const unlabelled = createInstances({ kind: "classification", rows: [[5, 6]] });
    await expect(integratedGradients(model, unlabelled, { of: "gold" })).rejects.toMatchObject(
      refusal("missing", /no label/),
    );
  });
});
