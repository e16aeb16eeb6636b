import { createInstances, noTarget, selectInstances } from "../../lib/data/instances";
import { gradientSimilarity, type GradientSimilarityOptions } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { selfInfluence } from "../../lib/instance/self-influence";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { evaluate } from "../../lib/model/evaluate";
import { refusal } from "../storage/refusal";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, goldenTensors, open, raggedInstances, rowsOf } from "../model/golden-tensors";
import { type GoldenPair, goldenPair, selectionNames, selections } from "./golden-pair";

/** float64 throughout; scores come back as float32. */
const doubleTolerance = 1e-6;
/** An inner product of float32 gradients, whose own entries are known to 1e-5. */
const singleTolerance = 1e-4;
/** The same sums in another order. */
const orderTolerance = 2e-5;

describe.each([
  ["float64", doubleTolerance],
  ["float32", singleTolerance],
] as const)("in %s", (dtype, tolerance) => {
  let pair: GoldenPair;
  beforeAll(async () => {
    pair = await goldenPair(dtype);
  });
  afterAll(() => pair.model.close());

  test.each(selectionNames)("dot, cosine and self-influence of %s equal PyTorch's", async (name) => {
    const { model, train, queries, wanted } = pair;
    const parameters = selections[name];
    const dot = await gradientSimilarity(model, train, queries, { parameters });
    expect([dot.queries, dot.train]).toEqual([3, 6]);
    expect(relativeDifference(dot.scores, wanted[`dot.${name}`].data)).toBeLessThan(tolerance);
    const cosine = await gradientSimilarity(model, train, queries, { parameters, similarity: "cosine" });
    expect(relativeDifference(cosine.scores, wanted[`cosine.${name}`].data)).toBeLessThan(tolerance);
    const self = await gradientSimilarity(model, train, train, { parameters });
    expect(
      relativeDifference(
        Float64Array.from({ length: 6 }, (_, i) => self.scores[i * 7]),
        wanted[`self.${name}`].data,
      ),
    ).toBeLessThan(tolerance);
  });

  test.each(["gpt-neox", "gpt2", "llama"])("dot of the language model %s equals PyTorch's", async (name) => {
    using model = await open(name, { dtype });
    const wanted = await goldenTensors("influence", `dot.${name}.safetensors`);
    const rows = createInstances({ kind: "causalLM", rows: rowsOf(wanted) });
    expect(relativeDifference((await evaluate(model, rows)).losses, wanted["losses"].data)).toBeLessThan(tolerance);
    for (const parameters of ["attention", "mlp", "linear", "head"] as const) {
      const golden = wanted[`dot.${parameters}`];
      if (golden === undefined) continue; // a tied output
      const { scores } = await gradientSimilarity(model, rows, rows, { parameters });
      expect(relativeDifference(scores, golden.data)).toBeLessThan(tolerance);
    }
    expect(Object.keys(wanted).filter((key) => key.startsWith("dot.")).length).toBeGreaterThanOrEqual(3);
  });
});

describe("gradient similarity", () => {
  test.each(familyCases)(
    "of %s is symmetric, its modules sum to the total, and the cosine with itself is 1",
    async (name) => {
      using model = await open(name);
      const instances = raggedInstances(model.architecture.head.kind, 4);
      const scores = async (options: GradientSimilarityOptions) =>
        (await gradientSimilarity(model, instances, instances, options)).scores;
      const total = await scores({ parameters: "linear" });
      const turned = total.map((_, i) => total[(i % 4) * 4 + Math.floor(i / 4)]);
      expect(relativeDifference(turned, total)).toBeLessThan(orderTolerance);
      const modules = modulesOf(model.architecture, "linear");
      const summed = new Float64Array(16);
      for (const module of modules)
        (await scores({ parameters: [module] })).forEach((score, i) => {
          summed[i] += score;
        });
      expect(relativeDifference(summed, total)).toBeLessThan(orderTolerance);
      const cosine = await scores({ parameters: "linear", similarity: "cosine" });
      for (let i = 0; i < 4; i++) expect(cosine[i * 5]).toBeCloseTo(1, 4);
      expect(cosine.every((value) => Math.abs(value) < 1.0001)).toBe(true);
    },
  );

  test.each(["llama-gqa", "gpt-neox-choice"])("of %s does not depend on batches, memory and order", async (name) => {
    using model = await open(name);
    const [train, queries] = [
      raggedInstances(model.architecture.head.kind, 6),
      raggedInstances(model.architecture.head.kind, 3),
    ];
    const scores = async (options: GradientSimilarityOptions) =>
      (await gradientSimilarity(model, train, queries, { parameters: "linear", ...options })).scores;
    const whole = await scores({});
    for (const options of [{ batchTokens: 1 }, { memory: "1 MB" }, { memory: "1 MB", batchTokens: 20 }]) {
      expect(relativeDifference(await scores(options), whole)).toBeLessThan(orderTolerance);
    }
    const order = [3, 5, 0, 2, 4, 1];
    const shuffled = (await gradientSimilarity(model, selectInstances(train, order), queries, { parameters: "linear" }))
      .scores;
    expect(
      relativeDifference(
        shuffled,
        whole.map((_, i) => whole[Math.floor(i / 6) * 6 + order[i % 6]]),
      ),
    ).toBeLessThan(orderTolerance);
  });

  test("a module list and a wildcard select what they name, each once", async () => {
    const { model, train, queries } = await goldenPair("float64");
    const scores = async (parameters: string[]) =>
      (await gradientSimilarity(model, train, queries, { parameters })).scores;
    expect(await scores(["layers.*.mlp.*"])).toEqual(
      (await gradientSimilarity(model, train, queries, { parameters: "mlp" })).scores,
    );
    const listed = await gradientSimilarity(model, train, queries, {
      parameters: ["layers.1.mlp.down", "layers.1.mlp.up", "layers.1.mlp.*"],
    });
    expect(listed.scores).toEqual(await scores(["layers.1.mlp.*"]));
    expect(listed.provenance.options["parameters"]).toEqual(["layers.1.mlp.up", "layers.1.mlp.down"]);
    expect(modulesOf(model.architecture, ["*"])).toEqual(modulesOf(model.architecture, "all"));
    expect(modulesOf(model.architecture, ["*.mlp.*", "*.attention.*"])).toEqual(
      modulesOf(model.architecture, "linear"),
    );
    model.close();
  });

  test("instances with nothing to predict are refused, by their rows", async () => {
    using model = await open("llama");
    const rows = [
      [5, 6, 7],
      [8, 9, 10, 11],
    ];
    const silent = createInstances({
      kind: "causalLM",
      rows,
      targets: [
        [noTarget, noTarget, noTarget],
        [9, 10, 11, noTarget],
      ],
      ids: ["quiet", "loud"],
    });
    await expect(gradientSimilarity(model, silent, silent)).rejects.toMatchObject(
      refusal("missing", /"train".*no target token.*: 0 \(id "quiet"\)\./),
    );
    using classifier = await open("opt-classification");
    const labelled = createInstances({ kind: "classification", rows, labels: [1, 2] });
    const unlabelled = createInstances({ kind: "classification", rows, labels: [-1, -1] });
    await expect(gradientSimilarity(classifier, labelled, unlabelled)).rejects.toMatchObject(
      refusal("missing", /"queries".*no label.*: 0 \(id "0"\), 1 \(id "1"\)\./),
    );
    await expect(selfInfluence(classifier, unlabelled)).rejects.toMatchObject(refusal("missing", /"train".*no label/));
    await expect(influence(classifier, labelled, unlabelled)).rejects.toMatchObject(refusal("missing", /no label/));
  });

  test("of mean losses is that of summed losses over both numbers of target tokens", async () => {
    using model = await open("gpt2");
    const instances = createInstances({
      kind: "causalLM",
      rows: [
        [5, 6, 7],
        [8, 9, 10, 11, 12, 13],
      ],
    });
    const sum = (await gradientSimilarity(model, instances, instances)).scores;
    const mean = (await gradientSimilarity(model, instances, instances, { reduction: "mean" })).scores;
    const counts = [2, 5];
    expect(
      relativeDifference(
        mean,
        sum.map((score, i) => score / counts[Math.floor(i / 2)] / counts[i % 2]),
      ),
    ).toBeLessThan(orderTolerance);
  });

  test("in bfloat16 is near that in float32", async () => {
    using half = await open("gpt-neox-classification", { dtype: "bfloat16" });
    using single = await open("gpt-neox-classification");
    const instances = raggedInstances("classification");
    const scores = async (model: typeof half) =>
      (await gradientSimilarity(model, instances, instances, { parameters: "linear" })).scores;
    expect(relativeDifference(await scores(half), await scores(single))).toBeLessThan(0.1); // 8 bits an entry
  });

  test("the paper's preset is the dot product of the head's weight", async () => {
    const { model, train, queries, wanted } = await goldenPair("float64");
    const { scores, provenance } = await gradientSimilarity(model, train, queries, { preset: "paper" });
    expect(relativeDifference(scores, wanted["dot.head"].data)).toBeLessThan(doubleTolerance);
    expect(provenance.options["parameters"]).toEqual(["score"]);
    model.close();
  });

  test.each<[string, object, string, RegExp]>([
    ["modules that are not there", { parameters: ["layers.9.*"] }, "unknown", /layers\.9/],
    ["an empty list", { parameters: [] }, "invalid", /"parameters"/],
    ["another group", { parameters: "embeddings" }, "invalid", /"parameters"/],
    ["another similarity", { similarity: "euclid" }, "invalid", /"similarity"/],
    ["a misspelt option", { parameter: "mlp" }, "unknown", /"parameter"/],
  ])("refuses %s", async (_name, options, code, words) => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification");
    await expect(gradientSimilarity(model, instances, instances, options)).rejects.toMatchObject(
      refusal(code as never, words),
    );
    expect((await gradientSimilarity(model, instances, instances)).train).toBe(6);
  });

  test("refuses queries for another head", async () => {
    using model = await open("opt-classification");
    await expect(
      gradientSimilarity(model, raggedInstances("classification"), raggedInstances("causalLM")),
    ).rejects.toMatchObject(refusal("mismatch", /"queries"/));
  });
});
