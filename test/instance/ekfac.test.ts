// EK-FAC against its factors computed by hand, and against the exact inverse Hessian of a trained classifier.
import { createInstances, selectInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { capture, readoutStates } from "../../lib/model/capture";
import { spearman } from "../../lib/statistics";
import { relativeDifference } from "../model/golden-cases";
import { refusal } from "../storage/refusal";
import { dot, eigen, flat, type Matrix, product, rowsOf, settingsFor, featuresOf, transposed } from "./feature-algebra";
import { type GoldenPair, goldenPair } from "./golden-pair";

let pair: GoldenPair;
beforeAll(async () => {
  pair = await goldenPair("float64");
});
afterAll(() => pair.model.close());

const meanOf = (matrices: Matrix[]): Matrix =>
  matrices[0].map((row, i) => row.map((_, j) => matrices.reduce((sum, m) => sum + m[i][j], 0) / matrices.length));
const outer = (a: number[], b: number[]): Matrix => a.map((x) => b.map((y) => x * y));

/** The number within 0–1 that draws the label of an instance's token: splitmix64's mixer, as native/instance/ekfac/ekfac.cpp has it. */
function draw(seed: number, instance: number, token: number): number {
  const wrap = (z: bigint) => BigInt.asUintN(64, z);
  const golden = 0x9e3779b97f4a7c15n;
  let z = wrap(BigInt(seed) * golden);
  for (const word of [instance, token]) {
    z = wrap(z + wrap((BigInt(word) + 1n) * golden));
    z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    z ^= z >> 31n;
  }
  return (Number(z >> 11n) + 0.5) / 2 ** 53;
}

/** The training instances with the labels that EK-FAC draws from the model. */
async function relabelled({ model, train }: GoldenPair, seed: number) {
  const logits = rowsOf((await evaluate(model, train, { logits: true })).logits!, train.size);
  const labels = logits.map((row, i) => {
    const weights = row.map((value) => Math.exp(value - Math.max(...row)));
    let left = draw(seed, i, 0) * weights.reduce((x, y) => x + y, 0);
    const label = weights.findIndex((weight) => (left -= weight) <= 0);
    return label < 0 ? row.length - 1 : label;
  });
  const rows = labels.map((_, i) => train.tokens.slice(train.rowOffsets[i], train.rowOffsets[i + 1]));
  return createInstances({ kind: "classification", rows, labels });
}

// Modules of which one token of an instance has a gradient: the head, and the last projection before it. Their G = g aᵀ gives g away.
const byHand: ["sampled" | "empirical", string, number][] = [
  ["sampled", "score", 3],
  ["sampled", "layers.1.mlp.down", 8],
  ["empirical", "score", 3],
  ["empirical", "layers.1.mlp.down", 8],
];
test.each(byHand)(
  "EK-FAC with the %s Fisher of %s equals Q_S [(Q_Sᵀ G Q_A) / (Λ + λ)] Q_Aᵀ with its factors made by hand",
  async (fisher, module, output) => {
    const { model, train, queries } = pair;
    const { scores } = await influence(model, train, queries, {
      inverse: "ekfac",
      parameters: [module],
      damping: 0.1,
      seed: 5,
      fisher,
    });
    const gradients = async (instances: typeof train) =>
      (await featuresOf(model, instances, settingsFor(model, [module]))).rows.map((row) => rowsOf(row, output));
    const drawn = await gradients(fisher === "sampled" ? await relabelled(pair, 5) : train);
    const states = rowsOf(await readoutStates(model, train), train.size);
    const tokens =
      module === "score"
        ? states
        : rowsOf((await capture(model, train, { layers: [1], positions: "all" })).values, train.tokens.length).map(
            (row) => [...row, 1],
          );
    // g up to its length: with the bias a column of G, of the head G a / ‖a‖².
    const outputs = drawn.map((g, i) =>
      module === "score"
        ? g.map((row) => dot(row, states[i]) / dot(states[i], states[i]))
        : g.map((row) => row[row.length - 1]),
    );
    const [inputBasis, outputBasis] = [
      eigen(meanOf(tokens.map((a) => outer(a, a)))).vectors,
      eigen(meanOf(outputs.map((g) => outer(g, g)))).vectors,
    ];
    const turned = (matrix: Matrix) => flat(product(product(outputBasis, matrix), transposed(inputBasis)));
    const lambdas = meanOf(drawn.map((g) => [turned(g).map((value) => value * value)]))[0];
    const lambda = (0.1 * lambdas.reduce((x, y) => x + y, 0)) / lambdas.length;
    const [left, right] = [(await gradients(queries)).map(turned), (await gradients(train)).map(turned)];
    const wanted = left.map((q) =>
      right.map((z) => q.reduce((sum, value, i) => sum + (value * z[i]) / (lambdas[i] + lambda), 0)),
    );
    expect(relativeDifference(scores, flat(wanted))).toBeLessThan(1e-4); // features came as floats
  },
);

test("EK-FAC does not depend on batches; its labels depend on the seed", async () => {
  const run = async (options: InfluenceOptions) =>
    (await influence(pair.model, pair.train, pair.queries, { inverse: "ekfac", parameters: "linear", ...options }))
      .scores;
  const whole = await run({});
  for (const changed of [{ batchTokens: 1 }, { memory: "120 kb" }])
    expect(relativeDifference(await run(changed), whole)).toBeLessThan(1e-5);
  expect(relativeDifference(await run({ seed: 1 }), whole)).toBeGreaterThan(1e-3);
  const result = await influence(pair.model, pair.train, pair.queries, { inverse: "ekfac" });
  expect(result.solver).toMatchObject({ effectiveDamping: 0.1, iterations: 0 });
  expect(result.provenance.options).toMatchObject({ inverse: "ekfac", damping: 0.1, fisher: "sampled", seed: 42 });
});

test("EK-FAC of a trained classifier's head ranks as the exact inverse does, which no inverse does not", async () => {
  const config = {
    model_type: "opt",
    vocab_size: 90,
    hidden_size: 16,
    num_hidden_layers: 2,
    ffn_dim: 32,
    num_attention_heads: 2,
    max_position_embeddings: 64,
    word_embed_proj_dim: 16,
    dropout: 0,
    pad_token_id: 1,
    bos_token_id: 2,
    eos_token_id: 2,
  };
  using base = await createModel(config, { labels: ["a", "b", "c"], seed: 3 });
  const rows = Array.from({ length: 120 }, (_, i) =>
    Int32Array.from({ length: 5 + ((i * 7) % 9) }, (__, t) => 4 + ((i * 31 + t * 17 + i * t * 7) % 86)),
  );
  const train = createInstances({ kind: "classification", rows, labels: rows.map((row) => row[row.length - 2] % 3) });
  using model = await fineTune(base, train, { epochs: 5, batchSize: 8, learningRate: 3e-3, dropout: false });
  const queries = selectInstances(train, [0, 7, 14, 21, 28, 35, 42, 49]);
  const scores = async (options: InfluenceOptions) =>
    (await influence(model, train, queries, { parameters: "head", ...options })).scores;
  const exact = await scores({ inverse: "cg", damping: 0.003, iterations: 200 });
  const agreement = (of: Float32Array) =>
    Array.from({ length: 8 }, (_, q) =>
      spearman(of.slice(q * 120, q * 120 + 120), exact.slice(q * 120, q * 120 + 120)),
    ).reduce((a, b) => a + b, 0) / 8;
  expect(agreement(await scores({ inverse: "ekfac" }))).toBeGreaterThan(0.9); // 0.96 when it was written
  expect(agreement(await scores({ inverse: "identity" }))).toBeLessThan(0.6); // 0.43
});

test("EK-FAC refuses a negative damping", async () => {
  await expect(
    influence(pair.model, pair.train, pair.queries, { inverse: "ekfac", damping: -1 }),
  ).rejects.toMatchObject(refusal("invalid", /"damping"/));
});
