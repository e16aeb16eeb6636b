// Gradient features, exact and projected, against PyTorch's gradients and the algebra that defines them.
import { concatInstances, selectInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { evaluate } from "../../lib/model/evaluate";
import { native } from "../../lib/native";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, gradientName, open, raggedInstances } from "../model/golden-tensors";
import { dot, featuresOf, flat, type Matrix, product, rowsOf, settingsFor, transposed } from "./feature-algebra";
import { goldenPair } from "./golden-pair";

const doubleTolerance = 1e-6; // doubles that came back as floats
const singleTolerance = 1e-4; // sums of float products in another order, relative to the largest

/** A module's exact gradient [output, input (+ bias)] of an instance, from its row of features. */
const gradientOf = (row: readonly number[], output: number): Matrix => rowsOf(row, output);

describe("exact features", () => {
  test("equal PyTorch's gradients of each instance, weight by weight", async () => {
    const { model, train, wanted } = await goldenPair("float64");
    for (const module of [...modulesOf(model.architecture, "linear"), "score"]) {
      const name = gradientName(model, `${module}.weight`).slice("gradient.".length, -".weight".length);
      const golden = rowsOf(wanted[`train.gradient.${name}`].data, 6);
      const { rows } = await featuresOf(model, train, settingsFor(model, [module]));
      const output = module === "score" ? 3 : 8;
      const input = 8;
      const bias = golden[0].length - output * input; // golden: weight row-major, then bias; features: the bias beside its row
      const expected = golden.map((g) =>
        Array.from({ length: output }, (_, o) => [
          ...g.slice(o * input, (o + 1) * input),
          ...(bias ? [g[output * input + o]] : []),
        ]).flat(),
      );
      expect(relativeDifference(flat(rows), flat(expected))).toBeLessThan(doubleTolerance);
    }
    model.close();
  });

  test("carry the losses whose gradients they are", async () => {
    const { model, train, wanted } = await goldenPair("float64");
    expect(
      relativeDifference(
        (await featuresOf(model, train, settingsFor(model, "head"))).losses,
        wanted["train.losses"].data,
      ),
    ).toBeLessThan(doubleTolerance);
    model.close();
    using lm = await open("llama");
    const instances = raggedInstances("causalLM");
    const [sums, means] = [
      await featuresOf(lm, instances, settingsFor(lm, "mlp")),
      await featuresOf(lm, instances, settingsFor(lm, "mlp", { reduction: "mean" })),
    ];
    const { losses, targetTokens } = await evaluate(lm, instances);
    expect(relativeDifference(sums.losses, losses)).toBeLessThan(singleTolerance);
    expect(
      relativeDifference(
        means.losses,
        losses.map((loss, i) => loss / targetTokens[i]),
      ),
    ).toBeLessThan(singleTolerance);
  });

  test.each(familyCases)("of %s have the inner products of gradientSimilarity, tokens of any number", async (name) => {
    using model = await open(name);
    const instances = raggedInstances(model.architecture.head.kind);
    for (const parameters of ["linear", "head"] as const) {
      const { rows } = await featuresOf(model, instances, settingsFor(model, parameters));
      const { scores } = await gradientSimilarity(model, instances, instances, { parameters });
      expect(relativeDifference(flat(product(rows, transposed(rows))), scores)).toBeLessThan(singleTolerance);
    }
  });
});

describe.each(["gaussian", "rademacher"] as const)("%s projections", (projection) => {
  const rank = 4;

  test("give P_out G P_inᵀ of each module, the bias an input of 1", async () => {
    const { model, train } = await goldenPair("float64");
    for (const module of [...modulesOf(model.architecture, "linear"), "score"]) {
      const exact = await featuresOf(model, train, settingsFor(model, [module]));
      const projected = await featuresOf(model, train, settingsFor(model, [module], { rank, projection, seed: 7 }));
      const output = module === "score" ? 3 : 8;
      const input = exact.rows[0].length / output;
      const side = (width: number, name: string): Matrix | undefined =>
        rank < width ? rowsOf(native().projectionMatrix({ projection, rank, width, seed: 7, name }), rank) : undefined;
      const [left, right] = [side(output, `${module}.output`), side(input, `${module}.input`)];
      const expected = exact.rows.map((row) => {
        const g = gradientOf(row, output);
        const half = right ? product(g, transposed(right)) : g;
        return flat(left ? product(left, half) : half);
      });
      expect(relativeDifference(flat(projected.rows), flat(expected))).toBeLessThan(doubleTolerance);
    }
    model.close();
  });

  test("keep inner products in expectation, module by module", async () => {
    const { model, train, queries } = await goldenPair("float32");
    const seeds = 2000;
    const modules = modulesOf(model.architecture, ["layers.0.mlp.*", "layers.1.attention.*", "score"]);
    const exact = [
      await featuresOf(model, queries, settingsFor(model, modules)),
      await featuresOf(model, train, settingsFor(model, modules)),
    ];
    const [sums, squares] = [new Map<string, number>(), new Map<string, number>()];
    const both = concatInstances([train, queries]);
    for (let seed = 0; seed < seeds; seed++) {
      const { rows, offsets } = await featuresOf(model, both, settingsFor(model, modules, { rank, projection, seed }));
      modules.forEach((module, m) => {
        const part = (row: number[]) => row.slice(offsets[m], offsets[m + 1]);
        const value = dot(part(rows[6]), part(rows[0]));
        sums.set(module, (sums.get(module) ?? 0) + value);
        squares.set(module, (squares.get(module) ?? 0) + value * value);
      });
    }
    modules.forEach((module, m) => {
      const [begin, end] = [exact[0].offsets[m], exact[0].offsets[m + 1]];
      const wanted = dot(exact[0].rows[0].slice(begin, end), exact[1].rows[0].slice(begin, end));
      const mean = (sums.get(module) ?? 0) / seeds;
      const deviation = Math.sqrt((squares.get(module) ?? 0) / seeds - mean * mean);
      // Five standard errors: a right mean fails one test in a million.
      expect(Math.abs(mean - wanted)).toBeLessThan((5 * deviation) / Math.sqrt(seeds));
      const [query, instance] = [exact[0].rows[0].slice(begin, end), exact[1].rows[0].slice(begin, end)];
      expect(deviation / Math.sqrt(seeds)).toBeLessThan(0.05 * Math.sqrt(dot(query, query) * dot(instance, instance))); // the bound says something
    });
    model.close();
  });

  test("depend on seed and module, not on what else is selected", async () => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification");
    const all = await featuresOf(model, instances, settingsFor(model, "linear", { rank, projection }));
    const modules = modulesOf(model.architecture, "linear");
    const alone = await featuresOf(model, instances, settingsFor(model, [modules[3]], { rank, projection }));
    expect(
      relativeDifference(flat(alone.rows), flat(all.rows.map((row) => row.slice(all.offsets[3], all.offsets[4])))),
    ).toBeLessThan(singleTolerance);
    const other = await featuresOf(model, instances, settingsFor(model, [modules[3]], { rank, projection, seed: 43 }));
    expect(relativeDifference(flat(other.rows), flat(alone.rows))).toBeGreaterThan(0.1);
  });
});

describe("features do not depend on batches, order or company", () => {
  test.each(familyCases)("for %s", async (name) => {
    using model = await open(name);
    const instances = raggedInstances(model.architecture.head.kind);
    const settings = settingsFor(model, "linear", { rank: 5 });
    const whole = await featuresOf(model, instances, settings);
    for (const batchTokens of [1, 20])
      expect(
        relativeDifference(flat((await featuresOf(model, instances, settings, batchTokens)).rows), flat(whole.rows)),
      ).toBeLessThan(singleTolerance);
    const order = [3, 5, 0, 2, 4, 1];
    const shuffled = await featuresOf(model, selectInstances(instances, order), settings);
    expect(relativeDifference(flat(shuffled.rows), flat(order.map((i) => whole.rows[i])))).toBeLessThan(
      singleTolerance,
    );
  });
});
