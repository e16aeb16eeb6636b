// Instance methods on encoders: EK-FAC of the module before the projection against factors made by hand, and a gradient store.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readoutStates } from "../../lib/model/capture";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
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
