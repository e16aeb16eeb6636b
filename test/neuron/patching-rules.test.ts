// RelP's and GIM's backward rules against PyTorch modules with the same rules, and what the options mean.
import { createInstances, selectInstances } from "../../lib/data/instances";
import { capture } from "../../lib/model/capture";
import { attributionPatching, type AttributionPatchingOptions } from "../../lib/neuron/attribution-patching";
import type { Instances } from "../../types/data";
import { relativeDifference } from "../model/golden-cases";
import { goldenTensors, languageModels, open, raggedInstances, rowsOf, type Tensors } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** Golden values are float32; ours run in float64. */
const goldenTolerance = 1e-5;
/** float32 through two different orders of the same sums. */
const orderTolerance = 1e-5;

const cases = ["gpt2", "opt", "llama", "qwen3", "bloom", "gpt-neox"];
const rules = {
  relp: { rule: "relp" },
  relpDetached: { rule: "relp", attention: "detached" },
  gim: { rule: "gim" },
} as const;

const rowsAs = (tensors: Tensors, prefix = ""): Instances =>
  createInstances({ kind: "causalLM", rows: rowsOf(tensors, prefix) });

describe.each(cases)("scores of %s are PyTorch's", (name) => {
  test.each(Object.entries(rules))("by %s, against zero and against other prompts", async (rule, options) => {
    using model = await open(name, { dtype: "float64" });
    const tensors = await goldenTensors("patching", `${name}.safetensors`);
    const [instances, against] = [rowsAs(tensors), rowsAs(tensors, "against.")];
    for (const site of ["neurons", "heads"] as const) {
      const common: AttributionPatchingOptions = { ...options, site, target: "logit" };
      const zero = await attributionPatching(model, instances, common);
      expect(relativeDifference(zero.scores, tensors[`${rule}.${site}.zero`].data)).toBeLessThan(goldenTolerance);
      const other = await attributionPatching(model, instances, { ...common, against });
      expect(relativeDifference(other.scores, tensors[`${rule}.${site}.against`].data)).toBeLessThan(goldenTolerance);
    }
  });
});

test.each(languageModels)(
  "the gradient's rule by one full backward is that of one-token rows, for %s",
  async (name) => {
    using model = await open(name);
    const instances = raggedInstances("causalLM");
    const order = [3, 0, 5, 1, 2, 4];
    const against = selectInstances(instances, order);
    for (const site of ["neurons", "heads"] as const) {
      const full = await attributionPatching(model, instances, { site, against });
      const { values } = await capture(model, against, { site });
      const width = values.length / instances.size;
      for (let i = 0; i < instances.size; i++) {
        const own = await attributionPatching(model, selectInstances(instances, [i]), {
          site,
          baseline: values.slice(i * width, (i + 1) * width),
        });
        const each = full.layers * full.units;
        expect(relativeDifference(full.scores.subarray(i * each, (i + 1) * each), own.scores)).toBeLessThan(
          orderTolerance,
        );
      }
    }
  },
);

test("values and predictions are the model's own under every rule, in any batch, and both sites rank together", async () => {
  using model = await open("llama-gqa");
  const instances = raggedInstances("causalLM");
  const plain = await attributionPatching(model, instances, { target: "logit" });
  for (const rule of ["relp", "gim"] as const) {
    const whole = await attributionPatching(model, instances, { target: "logit", rule, site: "both" });
    expect(relativeDifference(whole.targetValues, plain.targetValues)).toBeLessThan(orderTolerance);
    expect(whole.targetLabels).toEqual(plain.targetLabels);
    const alone = await attributionPatching(model, instances, { target: "logit", rule, site: "both", batchTokens: 1 });
    expect(relativeDifference(alone.scores, whole.scores)).toBeLessThan(orderTolerance);
    const neurons = await attributionPatching(model, instances, { target: "logit", rule });
    expect(whole.scores.subarray(0, neurons.units)).toEqual(neurons.scores.subarray(0, neurons.units));
    expect(relativeDifference(neurons.scores, plain.scores)).toBeGreaterThan(1e-2);
  }
});

describe.each(["gpt2", "llama", "qwen3"])("AtP* on %s is PyTorch's", (name) => {
  test.each(["query", "key", "value"] as const)("for each head's %s, with the softmax made again", async (part) => {
    using model = await open(name, { dtype: "float64" });
    const tensors = await goldenTensors("patching-star", `${name}.safetensors`);
    const [instances, against] = [rowsAs(tensors), rowsAs(tensors, "against.")];
    const { scores } = await attributionPatching(model, instances, { site: "heads", part, against, target: "logit" });
    expect(relativeDifference(scores, tensors[part].data)).toBeLessThan(goldenTolerance);
  });

  test("with dropped layers, of both sites", async () => {
    using model = await open(name, { dtype: "float64" });
    const tensors = await goldenTensors("patching-star", `${name}.safetensors`);
    for (const site of ["neurons", "heads"] as const) {
      const { scores } = await attributionPatching(model, rowsAs(tensors), { site, gradDrop: true, target: "logit" });
      expect(relativeDifference(scores, tensors[`dropped.${site}`].data)).toBeLessThan(goldenTolerance);
    }
  });
});

test("a query's corrected score is that of the head's output which the query makes", async () => {
  using model = await open("llama-gqa", { dtype: "float64" });
  const instances = raggedInstances("causalLM", 4);
  const options = { site: "heads", target: "logit", rule: "relp", against: instances } as const;
  for (const part of ["query", "key", "value"] as const)
    // against itself nothing changes
    expect(
      Math.max(...(await attributionPatching(model, instances, { ...options, part })).scores.map(Math.abs)),
    ).toBeLessThan(1e-12);
});

test("queries of prompts of other lengths are refused", async () => {
  using model = await open("llama");
  const [instances, against] = [
    createInstances({ kind: "causalLM", rows: [[5, 6]] }),
    createInstances({ kind: "causalLM", rows: [[5, 6, 7]] }),
  ];
  await expect(attributionPatching(model, instances, { site: "heads", part: "query", against })).rejects.toMatchObject(
    refusal("mismatch", /2 tokens/),
  );
});

const two = createInstances({ kind: "causalLM", rows: [[5], [6]] });
test.each<[string, AttributionPatchingOptions, string, RegExp]>([
  ["an unknown rule", { rule: "lrp" as never }, "invalid", /"rule"/],
  ["attention without relp", { rule: "gim", attention: "detached" }, "invalid", /"attention"/],
  ["two baselines", { against: two, baseline: "zero" }, "invalid", /"against"/],
  ["other positions", { rule: "relp", positions: "all" }, "unsupported", /"positions"/],
  ["an engine", { rule: "relp", engine: "full" }, "unsupported", /"engine"/],
  ["the query of a neuron", { part: "query", against: two }, "invalid", /site: "heads"/],
  ["a query of no other prompt", { part: "query", site: "heads" }, "missing", /"against"/],
  ["too few other prompts", { against: two }, "mismatch", /counterfactual/],
  ["too small a budget", { rule: "relp", memory: 1 }, "memory", /"memory"/],
])("%s is refused", async (_name, options, code, words) => {
  using model = await open("llama");
  await expect(attributionPatching(model, raggedInstances("causalLM"), options)).rejects.toMatchObject(
    refusal(code as never, words),
  );
});
