// Instance methods on encoders: EK-FAC of the module before the projection against factors made by hand, a gradient store, scores taken
// apart, and the training run.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { marginal } from "../../lib/alignment/marginal";
import { readoutStates } from "../../lib/model/capture";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { breakdown } from "../../lib/instance/breakdown";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { jointAttribution } from "../../lib/instance/joint";
import { trainingInfluence } from "../../lib/instance/training-influence";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { openEncoder } from "../model/encoder-golden";
import { relativeDifference } from "../model/golden-cases";
import { eigen, featuresOf, flat, type Matrix, product, rowsOf, settingsFor, transposed } from "./feature-algebra";

const meanOf = (matrices: Matrix[]): Matrix =>
  matrices[0].map((row, i) => row.map((_, j) => matrices.reduce((sum, m) => sum + m[i][j], 0) / matrices.length));
const outer = (a: number[], b: number[]): Matrix => a.map((x) => b.map((y) => x * y));

test.each(["bert-classification", "distilbert-masked"])(
  "EK-FAC of the head's dense module sees the positions that are read, and no others: %s",
  async (name) => {
    const { model, instances } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const module = "head.dense";
    const { scores } = await influence(model, instances, instances, {
      inverse: "ekfac",
      parameters: [module],
      damping: 0.1,
      fisher: "empirical",
    });
    const { rows } = await featuresOf(model, instances, settingsFor(model, [module]));
    const gradients = rows.map((row) => rowsOf(row, model.architecture.hidden));
    const inputs = rowsOf(await readoutStates(model, instances), instances.size).map((row) => [...row, 1]);
    const outputs = gradients.map((g) => g.map((row) => row[row.length - 1])); // with the bias a column of G
    const inputBasis = eigen(meanOf(inputs.map((a) => outer(a, a)))).vectors;
    const outputBasis = eigen(meanOf(outputs.map((g) => outer(g, g)))).vectors;
    const turned = gradients.map((g) => flat(product(product(outputBasis, g), transposed(inputBasis))));
    const lambdas = meanOf(turned.map((row) => [row.map((value) => value * value)]))[0];
    const lambda = (0.1 * lambdas.reduce((x, y) => x + y, 0)) / lambdas.length;
    const wanted = turned.map((q) =>
      turned.map((z) => q.reduce((sum, value, i) => sum + (value * z[i]) / (lambdas[i] + lambda), 0)),
    );
    expect(relativeDifference(scores, flat(wanted))).toBeLessThan(1e-4); // features came as floats
  },
);

test("a store of an encoder's gradients has the inner products of the gradients themselves", async () => {
  const folder = await mkdtemp(join(tmpdir(), "encoder-store-"));
  try {
    const { model, instances } = await openEncoder("modernbert-mean");
    using _closing = model;
    const parameters = "all";
    const store = await buildGradientStore(model, instances, join(folder, "store"), {
      parameters,
      rank: 0,
      precision: "float32",
    });
    const { scores } = await storeSimilarity(store, await queryFeatures(model, instances, store), {
      preconditioner: "none",
    });
    const plain = await gradientSimilarity(model, instances, instances, { parameters });
    expect(relativeDifference(scores, plain.scores)).toBeLessThan(1e-4);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test.each(["bert-masked", "roberta-classification", "modernbert-mean"])(
  "a score comes apart by module into the scores of the modules alone, and by unit into itself: %s",
  async (name) => {
    const { model, instances } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const exact = await gradientSimilarity(model, instances, instances, { parameters: "linear" });
    const { modules, pairs } = await breakdown(model, instances, instances, exact, { by: "module", pairs: [[0, 1]] });
    const alone: number[] = [];
    for (const module of modules)
      alone.push((await gradientSimilarity(model, instances, instances, { parameters: [module] })).scores[1]);
    expect(relativeDifference(pairs[0].parts, alone)).toBeLessThan(1e-6);
    const joint = await jointAttribution(model, instances, instances, exact);
    expect(relativeDifference(marginal(joint, "instances").scores, exact.scores)).toBeLessThan(1e-6);
  },
);

test("the influence of training instances on an encoder is the change that another weight makes", async () => {
  const { model, instances } = await openEncoder("bert-masked", { dtype: "float64" });
  using _closing = model;
  const options = { epochs: 2, learningRate: 0.05, optimizer: "sgd", dropout: false, batchSize: 2, seed: 1 } as const;
  const { scores } = await trainingInfluence({ model, train: instances, options }, instances, { reduction: "sum" });
  const h = 1e-4;
  const lossesWith = async (weight: number): Promise<Float32Array | Float64Array> => {
    const instanceWeights = Array.from({ length: instances.size }, (_, i) => (i === 1 ? weight : 1));
    using tuned = await fineTune(model, instances, { ...options, instanceWeights });
    return (await evaluate(tuned, instances)).losses;
  };
  const [above, below] = [await lossesWith(1 + h), await lossesWith(1 - h)];
  const wanted = Array.from(above, (loss, query) => -(loss - below[query]) / (2 * h));
  expect(
    relativeDifference(
      wanted.map((_, query) => scores[query * instances.size + 1]),
      wanted,
    ),
  ).toBeLessThan(1e-4);
});
