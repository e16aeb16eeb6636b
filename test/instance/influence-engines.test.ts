// Products with the Hessian over cached states equal those over the network, for every selection and head that has a cache.
import { createInstances } from "../../lib/data/instances";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import type { Parameters } from "../../lib/instance/gradients/parameters";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";

/** λ well above |H| keeps H + λI positive definite; H still moves the scores by far more than the tolerance. The llama's H is large. */
const dampingOf = (name: string): number => (name.startsWith("llama") ? 1000 : 3);
const tolerance = 1e-5; // scores are float32

const cases: [string, Parameters][] = [
  ["opt-classification", "head"],
  ["gpt-neox-choice", "head"],
  ["gpt2-classification", "head"],
  ["opt-classification", ["score", "layers.1.mlp.*"]],
  ["opt-classification", ["layers.1.mlp.down"]],
  ["llama-classification", ["score", "layers.1.mlp.*"]],
  ["llama-classification", ["layers.1.mlp.gate"]],
  ["gpt2-classification", ["layers.1.mlp.*"]],
  ["bloom-classification", ["layers.1.mlp.up", "score"]],
  ["gpt-neox-choice", ["score", "layers.1.mlp.*"]],
];

async function bothEngines(
  name: string,
  parameters: Parameters,
  options: InfluenceOptions,
): Promise<[Float32Array, Float32Array, Float32Array]> {
  using model = await open(name, { dtype: "float64" });
  const kind = model.architecture.head.kind;
  const train = raggedInstances(kind, 6),
    queries = raggedInstances(kind, 3);
  const scores = async (engine: "cache" | "full") =>
    (await influence(model, train, queries, { parameters, engine, ...options })).scores;
  const identity = await influence(model, train, queries, { parameters, inverse: "identity" });
  return [await scores("cache"), await scores("full"), identity.scores.map((score) => score / (options.damping ?? 1))];
}

test.each(cases)("conjugate gradients of %s, %j", async (name, parameters) => {
  const [cache, full, plain] = await bothEngines(name, parameters, {
    damping: dampingOf(name),
    tolerance: 1e-9,
    iterations: 300,
  });
  expect(relativeDifference(cache, full)).toBeLessThan(tolerance);
  expect(relativeDifference(plain, full)).toBeGreaterThan(50 * tolerance); // the Hessian takes part
});

// With batches of 2 of 6 instances every row is drawn often, some twice running; λ = scale takes the whole of h in each step.
test.each(cases.flatMap(([name, parameters]) => [1, 30].map((scale) => [name, parameters, scale] as const)))(
  "LiSSA of %s, %j, divided by %d × λ",
  async (name, parameters, scale) => {
    const [cache, full] = await bothEngines(name, parameters, {
      inverse: "lissa",
      damping: dampingOf(name),
      scale: dampingOf(name) * scale,
      batchSize: 2,
      recursions: 25,
      seed: 3,
      repeats: 2,
    });
    expect(relativeDifference(cache, full)).toBeLessThan(tolerance);
  },
);

test.each(cases.slice(0, 4))("Arnoldi of %s, %j", async (name, parameters) => {
  const [cache, full] = await bothEngines(name, parameters, {
    inverse: "arnoldi",
    damping: dampingOf(name),
    iterations: 12,
    rank: 4,
  });
  expect(relativeDifference(cache, full)).toBeLessThan(tolerance);
});

test("LiSSA of more drawn rows than its span is worth runs on whole vectors, to the same scores", async () => {
  using model = await open("opt-classification", { dtype: "float64" });
  const rows = Array.from({ length: 120 }, (_, i) =>
    Int32Array.from({ length: 3 + (i % 4) }, (__, t) => 4 + ((i * 31 + t * 17) % 86)),
  );
  const train = createInstances({ kind: "classification", rows, labels: rows.map((_, i) => i % 3) }),
    queries = raggedInstances("classification", 2);
  const scores = async (engine: "cache" | "full") =>
    (
      await influence(model, train, queries, {
        parameters: ["layers.1.mlp.down", "score"],
        inverse: "lissa",
        damping: 3,
        scale: 30,
        batchSize: 12,
        recursions: 10,
        engine,
      })
    ).scores;
  expect(relativeDifference(await scores("cache"), await scores("full"))).toBeLessThan(tolerance);
});

describe("a language model's own head", () => {
  test.each(["sum", "mean"] as const)("with the %s over target tokens", async (reduction) => {
    const [cache, full] = await bothEngines("gpt-neox", "head", {
      damping: 10,
      tolerance: 1e-9,
      iterations: 300,
      reduction,
    });
    expect(relativeDifference(cache, full)).toBeLessThan(tolerance);
  });
});
