// Completeness on a trained model: where the shared nodes do not do, paths are bisected until they are complete.
import { createInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import { fineTune } from "../../lib/model/fine-tune";
import { integratedGradients, type IntegratedGradientsOptions } from "../../lib/neuron/integrated-gradients";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { relativeDifference } from "../model/golden-cases";
import { open } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** What the default promises, as a share of F. */
const complete = 1e-3;
/** float32 sums over a layer's units. */
const rounding = 1e-5;
const sites = ["neurons", "heads"] as const;

let base: Model;
let model: Model;
let queries: Instances;
/** The sum of two numbers modulo 13: far from linear, and learnt in seconds. */
beforeAll(async () => {
  base = await createModel(
    {
      model_type: "llama",
      vocab_size: 16,
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 3,
      num_attention_heads: 4,
      max_position_embeddings: 8,
      initializer_range: 0.2,
    },
    { head: { kind: "causalLM" }, seed: 3 },
  );
  const rows = Array.from({ length: 169 }, (_, i) => [Math.floor(i / 13), 13, i % 13, 14]);
  const train = createInstances({ kind: "causalLM", rows, labels: rows.map(([a, , b]) => (a + b) % 13) });
  model = await fineTune(base, train, { epochs: 30, batchSize: 13, learningRate: 5e-3, keep: "last" });
  queries = createInstances({ kind: "causalLM", rows: rows.filter((_, i) => i % 34 === 0) });
});
afterAll(() => [base, model].forEach((each) => each.close()));

/** Gaps [instance, layer] as shares of the larger F of the path's ends. */
function gapShares({ completenessGap, scores, targetValues, layers, units }: NeuronAttribution): Float64Array {
  return completenessGap.map((gap, i) => {
    const end = targetValues[Math.floor(i / layers)];
    const start = end - scores.subarray(i * units, (i + 1) * units).reduce((sum, score) => sum + score, 0) + gap;
    return Math.abs(gap) / Math.max(Math.abs(start), Math.abs(end));
  });
}

const worst = async (options: IntegratedGradientsOptions): Promise<number> =>
  Math.max(...gapShares(await integratedGradients(model, queries, options)));

test.each(sites)(
  "of %s is below a thousandth in every layer of every instance by default, and bisected where two nodes leave more",
  async (site) => {
    expect(await worst({ site })).toBeLessThan(complete + rounding);
    expect(await worst({ site, nodes: 2 })).toBeGreaterThan(10 * complete);
    expect(await worst({ site, nodes: 2, completeness: complete })).toBeLessThan(complete + rounding);
    expect(await worst({ site, nodes: 4, completeness: 1e-4 })).toBeLessThan(1e-4 + rounding);
  },
);

test.each(sites)("of %s comes with the scores of a thousand nodes, in any batch and under any budget", async (site) => {
  const options = { site, completeness: 1e-4 }; // of the sum; single units are less exact
  const found = await integratedGradients(model, queries, options);
  const fine = await integratedGradients(model, queries, { site, nodes: 1000 });
  expect(relativeDifference(found.scores, fine.scores)).toBeLessThan(2 * complete);
  const alone = await integratedGradients(model, queries, { ...options, batchTokens: 1 });
  expect(relativeDifference(alone.scores, found.scores)).toBeLessThan(rounding);
  const small = await integratedGradients(model, queries, { ...options, memory: "1 MB" });
  expect(relativeDifference(small.scores, found.scores)).toBeLessThan(rounding);
});

test("a path from a given baseline is complete too, and 20 nodes are enough for the neurons but not for the heads", async () => {
  const baseline = Float32Array.from({ length: 3 * 64 }, (_, i) => Math.sin(i) / 10);
  expect(await worst({ baseline, nodes: 2, completeness: complete })).toBeLessThan(complete + rounding);
  expect(await worst({ nodes: 20 })).toBeLessThan(complete);
  expect(await worst({ site: "heads", nodes: 20 })).toBeGreaterThan(10 * complete);
});

test("bfloat16, whose rounding is larger, has 20 nodes and bisects nothing", async () => {
  using half = await open("llama", { dtype: "bfloat16" });
  const prompts = createInstances({ kind: "causalLM", rows: [[5, 6, 7]] });
  expect((await integratedGradients(half, prompts)).provenance.options).toMatchObject({ nodes: 20, completeness: 0 });
  await expect(integratedGradients(half, prompts, { completeness: 0.01 })).rejects.toMatchObject(
    refusal("unsupported", /"completeness"/),
  );
});

test.each<[string, IntegratedGradientsOptions, string]>([
  ["full forwards", { engine: "full", completeness: 0.01 }, "unsupported"],
  ["other positions", { positions: "all", completeness: 0.01 }, "unsupported"],
  ["the paper's preset", { preset: "paper", completeness: 0.01 }, "unsupported"],
  ["a gap below 0", { completeness: -1 }, "invalid"],
])("bisection with %s is refused", async (_name, options, code) => {
  await expect(integratedGradients(model, queries, options)).rejects.toMatchObject(
    refusal(code as never, /"completeness"/),
  );
});
