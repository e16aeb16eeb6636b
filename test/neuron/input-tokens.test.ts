// Saliency of input tokens, against models whose stored embeddings are changed.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { loadModel } from "../../lib/model/load-model";
import { inputTokens, type InputTokensOptions } from "../../lib/neuron/input-tokens";
import { wordTargets } from "../../lib/neuron/target-words";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import type { Model } from "../../types/model";
import { golden, headOf, relativeDifference } from "../model/golden-cases";
import { familyCases, open, raggedInstances } from "../model/golden-tensors";
import { sharedData, testOnRealFiles } from "../needs";
import { refusal } from "../storage/refusal";

/** Central differences with step h are wrong by h², and the stored embeddings by float32's rounding over h. */
const step = 2 ** -9;
const differenceTolerance = 2e-4;
/** float64 sums in another order. */
const rounding = 1e-9;
/** Many Gauss-Legendre nodes on a path that is steep near its start. */
const integralTolerance = 1e-3;

const embedding = { llama: "model.embed_tokens.weight", "gpt-neox": "gpt_neox.embed_in.weight" } as const;
const tokens = [5, 17, 40, 9, 22];
const prompt = createInstances({ kind: "causalLM", rows: [tokens] });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "input-tokens-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** F of the prompt where the embedding table's rows are changed. */
async function valueWith(
  name: keyof typeof embedding,
  change: (row: number, values: Float32Array) => ArrayLike<number>,
  options: InputTokensOptions,
): Promise<number> {
  const to = await mkdtemp(join(folder, "model-"));
  await cp(join(golden, name), to, { recursive: true });
  const { tensors } = await readTensors(join(golden, name, "model.safetensors"));
  const table = tensors[embedding[name]];
  const width = table.shape[1];
  const data = Float32Array.from(table.data, Number);
  for (let row = 0; row < table.shape[0]; row++)
    data.set(change(row, data.slice(row * width, (row + 1) * width)), row * width);
  await writeSafetensors(join(to, "model.safetensors"), {
    ...tensors,
    [embedding[name]]: { ...table, data },
  });
  using model = await loadModel(to, { head: headOf(name), dtype: "float64" });
  return (await inputTokens(model, prompt, { ...options, method: "gradientTimesInput" })).targetValues[0];
}

const exact = (name: string): Promise<Model> => open(name, { dtype: "float64" });

test.each(["llama", "gpt-neox"] as const)(
  "gradient × input is the slope of F in the size of each token's embedding, for %s",
  async (name) => {
    using model = await exact(name);
    const options: InputTokensOptions = { target: "logit", of: [11] };
    const { scores } = await inputTokens(model, prompt, { ...options, method: "gradientTimesInput" });
    const slopes: number[] = [];
    for (const token of tokens) {
      const scaled = (factor: number) =>
        valueWith(name, (row, values) => (row === token ? values.map((x) => x * factor) : values), options);
      slopes.push(((await scaled(1 + step)) - (await scaled(1 - step))) / (2 * step));
    }
    expect(relativeDifference(scores, slopes)).toBeLessThan(differenceTolerance);
  },
);

test.each([
  ["llama", "mean"],
  ["gpt-neox", "mean"],
  ["gpt-neox", "zero"],
] as const)("integrated gradients of %s sum to the difference from F at the %s embedding", async (name, baseline) => {
  using model = await exact(name);
  const options: InputTokensOptions = { target: "logit", of: [11] };
  const { tensors } = await readTensors(join(golden, name, "model.safetensors"));
  const table = tensors[embedding[name]];
  const mean = new Float64Array(table.shape[1]);
  for (let i = 0; i < table.data.length; i++) mean[i % mean.length] += table.data[i] / table.shape[0];
  const start = await valueWith(name, (_, values) => (baseline === "mean" ? mean : values.map(() => 0)), options);
  const found = await inputTokens(model, prompt, { ...options, baseline, nodes: 1000 });
  const sum = found.scores.reduce((total, score) => total + score, 0);
  expect(sum - found.completenessGap[0]).toBeCloseTo(found.targetValues[0] - start, 5);
  expect(Math.abs(found.completenessGap[0])).toBeLessThan(integralTolerance);
  expect(Math.abs(sum)).toBeGreaterThan(10 * integralTolerance);
});

test("from a zero embedding a model that norms its embeddings sees directions only, and the gap says so", async () => {
  using model = await exact("llama");
  for (const nodes of [50, 200]) {
    const options: InputTokensOptions = { target: "logit", of: [11], nodes };
    const [zero, mean] = [
      await inputTokens(model, prompt, { ...options, baseline: "zero" }),
      await inputTokens(model, prompt, { ...options, baseline: "mean" }),
    ];
    expect(zero.targetValues[0]).toBeCloseTo(mean.targetValues[0], 12); // m + (x − m) rounds
    const size = Math.abs(zero.targetValues[0]);
    expect(Math.abs(zero.completenessGap[0])).toBeGreaterThan(0.5 * size); // more nodes do not help
    expect(Math.abs(mean.completenessGap[0])).toBeLessThan(1e-5 * size);
  }
});

test.each(familyCases)("neither batch nor order changes a score, for %s", async (name) => {
  using model = await exact(name);
  const instances = raggedInstances(model.architecture.head.kind);
  const options: InputTokensOptions = { nodes: 3 };
  const whole = await inputTokens(model, instances, options);
  const alone = await inputTokens(model, instances, { ...options, batchTokens: 1 });
  expect(relativeDifference(alone.scores, whole.scores)).toBeLessThan(rounding);
  expect(relativeDifference(alone.completenessGap, whole.completenessGap)).toBeLessThan(rounding);
  expect(whole.scores).toHaveLength(instances.tokens.length);
  expect(whole.offsets).toHaveLength(instances.size + 1);
  expect(whole.offsets[instances.size]).toBe(instances.tokens.length);
  expect(whole.tokens).toEqual(instances.tokens);
  expect(whole.scores.some((score) => Math.abs(score) > 1e-6)).toBe(true);
});

test("rows of a choice that the target does not read score 0", async () => {
  using model = await exact("gpt-neox-choice");
  const rows = [
    [5, 6, 7],
    [8, 9],
    [10, 11, 12, 13],
  ];
  const instances = createInstances({ kind: "choice", rows, groups: [3], labels: [1] });
  const { scores } = await inputTokens(model, instances, { of: "gold", nodes: 4 });
  scores.forEach((score, t) => expect(score !== 0).toBe(t === 3 || t === 4));
});

test("a contrast is the difference of two targets, and says so", async () => {
  using model = await exact("llama");
  const score = async (options: InputTokensOptions) => inputTokens(model, prompt, { ...options, nodes: 5 });
  const both = await score({ of: [11], contrast: [30] });
  const [first, second] = [await score({ of: [11] }), await score({ of: [30] })];
  const wanted = first.scores.map((value, t) => value - second.scores[t]);
  expect(relativeDifference(both.scores, wanted)).toBeLessThan(1e-6);
  expect(both.unit).toBe("probability of the given class minus that of the contrast class");
  expect(first.unit).toBe("probability of the given class");
});

test.each<[string, InputTokensOptions, string, RegExp]>([
  ["a misspelt option", { node: 5 } as never, "unknown", /"node"/],
  ["nodes without a path", { method: "gradientTimesInput", nodes: 5 }, "invalid", /"nodes"/],
  ["no nodes", { nodes: 0 }, "invalid", /"nodes"/],
  ["an unknown baseline", { baseline: "median" as never }, "invalid", /"baseline"/],
  ["a class that the head has not", { of: [96] }, "invalid", /96/],
])("%s is refused", async (_name, options, code, words) => {
  using model = await open("llama");
  await expect(inputTokens(model, prompt, options)).rejects.toMatchObject(refusal(code as never, words));
});

test("words name a classifier's labels; a name that it has not, and a choice's, are refused", async () => {
  using model = await open("llama-classification");
  const instances = raggedInstances("classification", 2);
  const [first, second] = model.labels;
  expect(Array.from(await wordTargets(model, instances, second))).toEqual([1, 1]);
  expect(Array.from(await wordTargets(model, instances, [second, first]))).toEqual([1, 0]);
  await expect(wordTargets(model, instances, "nobody")).rejects.toMatchObject(refusal("invalid", /labels/));
  await expect(wordTargets(model, instances, [first])).rejects.toMatchObject(refusal("invalid", /"words"/));
  using choice = await open("gpt-neox-choice");
  await expect(wordTargets(choice, raggedInstances("choice", 2), "a")).rejects.toMatchObject(
    refusal("unsupported", /choices/),
  );
});

const tinyStories = "models/tinystories-656k";
testOnRealFiles("words name a language model's token; several tokens are refused by name", [tinyStories], async () => {
  using model = await loadModel(join(sharedData, tinyStories));
  const instances = createInstances({ kind: "causalLM", rows: [[5, 6], [7]] });
  const [[id]] = await model.tokenizer.encode(["a"]);
  expect(Array.from(await wordTargets(model, instances, "a"))).toEqual([id, id]);
  await expect(wordTargets(model, instances, "Once upon a time")).rejects.toMatchObject(
    refusal("invalid", /one token/),
  );
});
