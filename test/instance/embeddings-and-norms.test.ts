// Gradients of embeddings and norms, exact and projected: against PyTorch's, the algebra that defines the features, and each other.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concatInstances, selectInstances } from "../../lib/data/instances";
import { breakdown } from "../../lib/instance/breakdown";
import { dataInf } from "../../lib/instance/data-inf";
import { fitEkfac } from "../../lib/instance/ekfac/ekfac-factors";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { modulesOf, type Parameters } from "../../lib/instance/gradients/parameters";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { planGradientStore } from "../../lib/instance/store/plan";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { trak } from "../../lib/instance/trak";
import { native } from "../../lib/native";
import type { Model } from "../../types/model";
import type { NativeFeatureSettings } from "../../types/native";
import type { InstanceAttribution } from "../../types/results";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, goldenTensors, gradientName, instancesOf, open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { dot, eigen, featuresOf, flat, type Matrix, product, rowsOf, settingsFor, transposed } from "./feature-algebra";
import { goldenPair } from "./golden-pair";

const doubleTolerance = 1e-6; // doubles that came back as floats
const rmsTolerance = 1e-5; // transformers normalises and rotates in float32 whatever the model's type
const singleTolerance = 1e-4; // sums of float products in another order

const tables = ["embedding.token", "embedding.position"];
const isNorm = (module: string) => /orm$/.test(module);
const others = (model: Model) => [
  ...modulesOf(model.architecture, "embedding"),
  ...modulesOf(model.architecture, "norm"),
];

/** Rows of a module's gradient matrix; a norm has one. */
function outputOf({ architecture: a }: Model, module: string): number {
  return module === "embedding.token"
    ? a.vocabulary
    : module === "embedding.position"
      ? a.positionOffset + a.positions
      : module === "embedding.projectIn"
        ? a.hidden
        : a.embeddingSize;
}

/** Inner products with cos((k + 1)(i + 1)), as gradients.py has them: [instance, 4]. */
function sketch(rows: Matrix): Matrix {
  return rows.map((row) =>
    Array.from({ length: 4 }, (_, k) => row.reduce((sum, value, i) => sum + value * Math.cos((k + 1) * (i + 1)), 0)),
  );
}

describe("exact gradients", () => {
  test.each(familyCases)("of %s equal one autograd call of PyTorch's per instance", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const instances = await instancesOf(name, model.architecture.head.kind);
    const wanted = await goldenTensors("gradients", `${name}.safetensors`);
    const { norm, normBias } = model.architecture;
    const isPlain = norm === "layer" && normBias;
    const tolerance = isPlain ? doubleTolerance : rmsTolerance;
    for (const module of others(model)) {
      const { rows } = await featuresOf(model, instances, settingsFor(model, [module]));
      const golden = [`${module}.weight`, `${module}.bias`].flatMap(
        (weight) => wanted[gradientName(model, weight).replace(/^gradient/, "sketch")] ?? [],
      );
      expect(golden.length).toBe(isNorm(module) && isPlain ? 2 : 1);
      const width = rows[0].length / golden.length; // a norm's weight, then its bias (that of a choice's final norm has no gradient)
      const sketched = golden.map((_, part) =>
        flat(sketch(rows.map((row) => row.slice(part * width, (part + 1) * width)))),
      );
      expect(
        relativeDifference(
          flat(sketched),
          golden.flatMap(({ data }) => Array.from(data as Float64Array)),
        ),
      ).toBeLessThan(tolerance);
    }
    const { scores } = await gradientSimilarity(model, instances, instances, { parameters: "all" });
    expect(relativeDifference(scores, wanted["dot"].data)).toBeLessThan(tolerance);
  });

  test.each(familyCases)(
    "of %s have the inner products of gradientSimilarity, whose modules sum to the total",
    async (name) => {
      using model = await open(name);
      const instances = raggedInstances(model.architecture.head.kind, 5);
      const total = (await gradientSimilarity(model, instances, instances, { parameters: "all" })).scores;
      const summed = new Float64Array(total.length);
      for (const module of modulesOf(model.architecture, "all")) {
        const { scores } = await gradientSimilarity(model, instances, instances, { parameters: [module] });
        scores.forEach((score, i) => {
          summed[i] += score;
        });
        if (!others(model).includes(module)) continue;
        const { rows } = await featuresOf(model, instances, settingsFor(model, [module]));
        expect(relativeDifference(flat(product(rows, transposed(rows))), scores)).toBeLessThan(singleTolerance);
        const cosine = (
          await gradientSimilarity(model, instances, instances, { parameters: [module], similarity: "cosine" })
        ).scores;
        const length = (i: number) => Math.sqrt(dot(rows[i], rows[i])) || 1; // of an expert that no token reached 0
        expect(
          relativeDifference(
            cosine,
            Array.from(scores, (score, i) => score / (length(Math.floor(i / 5)) * length(i % 5))),
          ),
        ).toBeLessThan(singleTolerance);
      }
      expect(relativeDifference(summed, total)).toBeLessThan(singleTolerance);
    },
  );

  test("of a tied output are the token embedding's, whichever names are given", async () => {
    using model = await open("gpt2");
    const instances = raggedInstances("causalLM", 4);
    expect(modulesOf(model.architecture, ["output", "embedding.token"])).toEqual(["embedding.token"]);
    expect(modulesOf(model.architecture, "all")).not.toContain("output");
    expect(modulesOf(model.architecture, "head")).toEqual(["output"]);
    const scores = async (parameters: Parameters) =>
      (await gradientSimilarity(model, instances, instances, { parameters })).scores;
    const [both, head] = [await scores(["embedding.token"]), await scores("head")];
    expect(await scores(["output", "embedding.*", "layers.0.mlp.up"])).toEqual(
      await scores(["embedding.*", "layers.0.mlp.up"]),
    );
    expect(relativeDifference(head, both)).toBeGreaterThan(0.01); // the lookups' part is in one of them only
    using untied = await open("llama");
    expect(modulesOf(untied.architecture, "all")).toContain("output");
  });

  test.each(["llama-gqa", "gpt-neox-choice", "opt-post-norm-projected", "qwen3"])(
    "of %s do not depend on batches, memory and order",
    async (name) => {
      using model = await open(name);
      const [train, queries] = [
        raggedInstances(model.architecture.head.kind, 6),
        raggedInstances(model.architecture.head.kind, 3),
      ];
      const parameters = others(model);
      const scores = async (options: object, rows = train) =>
        (await gradientSimilarity(model, rows, queries, { parameters, ...options })).scores;
      const whole = await scores({});
      for (const options of [{ batchTokens: 1 }, { memory: "1 MB" }, { memory: "1 MB", batchTokens: 20 }])
        expect(relativeDifference(await scores(options), whole)).toBeLessThan(singleTolerance);
      const order = [3, 5, 0, 2, 4, 1];
      expect(
        relativeDifference(
          await scores({}, selectInstances(train, order)),
          whole.map((_, i) => whole[Math.floor(i / 6) * 6 + order[i % 6]]),
        ),
      ).toBeLessThan(singleTolerance);
      for (const changes of [
        { rank: 0 },
        { rank: 3 },
        { rank: 3, projection: "sparse" },
        { rank: 3, projection: "factoredSparse", mask: 9 },
        { rank: 3, projection: "dense" },
      ] as const) {
        const settings = settingsFor(model, parameters, changes);
        const all = flat((await featuresOf(model, train, settings)).rows);
        for (const batchTokens of [1, 20])
          expect(
            relativeDifference(flat((await featuresOf(model, train, settings, batchTokens)).rows), all),
          ).toBeLessThan(singleTolerance);
        const shuffled = await featuresOf(model, selectInstances(train, order), settings);
        expect(
          relativeDifference(
            flat(shuffled.rows),
            order.flatMap((i) => all.slice(i * (all.length / 6), (i + 1) * (all.length / 6))),
          ),
        ).toBeLessThan(singleTolerance);
      }
    },
  );

  test("in bfloat16 are near those in float32", async () => {
    using half = await open("opt", { dtype: "bfloat16" });
    using single = await open("opt");
    const instances = raggedInstances("causalLM");
    for (const parameters of ["embedding", "norm"] as const) {
      const scores = async (model: Model) =>
        (await gradientSimilarity(model, instances, instances, { parameters })).scores;
      expect(relativeDifference(await scores(half), await scores(single))).toBeLessThan(0.1); // 8 bits an entry
      const rows = async (model: Model) =>
        flat((await featuresOf(model, instances, settingsFor(model, parameters, { rank: 4 }))).rows);
      expect(relativeDifference(await rows(half), await rows(single))).toBeLessThan(0.1);
    }
  });
});

/** Cases whose modules have every shape: a table tied and not, positions, projections, norms with and without bias, of queries and keys. */
const shapes = ["opt-post-norm-projected", "qwen3", "bloom-classification"];
const expected: Readonly<Record<string, (model: Model, module: string, exact: Matrix) => Matrix>> = {
  gaussian: twoSided,
  rademacher: twoSided,
  sparse: (_, module, exact) => sparse(exact, 9, module),
  factoredSparse: (model, module, exact) => sparse(isNorm(module) ? exact : masked(model, module, exact), 9, module),
  dense: (_, module, exact) => product(exact, transposed(matrix("gaussian", 9, exact[0].length, `${module}.dense`))),
};

function matrix(projection: "gaussian" | "rademacher", rank: number, width: number, name: string): Matrix {
  return rowsOf(native().projectionMatrix({ projection, rank, width, seed: 7, name }), rank);
}

function twoSided(
  model: Model,
  module: string,
  exact: Matrix,
  projection: "gaussian" | "rademacher" = "gaussian",
): Matrix {
  if (isNorm(module))
    return exact[0].length <= 9
      ? exact
      : product(exact, transposed(matrix(projection, 9, exact[0].length, `${module}.vector`)));
  const output = outputOf(model, module);
  const [left, right] = [
    matrix(projection, 3, output, `${module}.output`),
    matrix(projection, 3, exact[0].length / output, `${module}.input`),
  ];
  return exact.map((row) => flat(product(product(left, rowsOf(row, output)), transposed(right))));
}

function sparse(rows: Matrix, features: number, module: string): Matrix {
  if (isNorm(module) && rows[0].length <= features) return rows;
  const { buckets, signs } = native().sparseProjection({
    features,
    width: rows[0].length,
    seed: 7,
    name: `${module}.sparse`,
  });
  return rows.map((row) => {
    const sums = Array<number>(features).fill(0);
    row.forEach((value, i) => {
      sums[buckets[i]] += value * signs[i];
    });
    return sums;
  });
}

function masked(model: Model, module: string, exact: Matrix): Matrix {
  const places = (width: number, side: string) =>
    Array.from(native().randomPlaces({ kept: 11, width, seed: 7, name: `${module}.${side}` }));
  const output = outputOf(model, module);
  const input = exact[0].length / output;
  const [rows, columns] = [places(output, "output"), places(input, "input")];
  const scale = Math.sqrt((output / 11) * (input / 11));
  return exact.map((row) => rows.flatMap((r) => columns.map((c) => row[r * input + c] * scale)));
}

describe.each(["gaussian", "rademacher", "sparse", "factoredSparse", "dense"] as const)(
  "%s projections",
  (projection) => {
    const changes: Partial<NativeFeatureSettings> = {
      projection,
      rank: 3,
      seed: 7,
      mask: projection === "factoredSparse" ? 11 : 0,
    };

    test.each(shapes)("of %s are those of the exact gradients", async (name) => {
      using model = await open(name, { dtype: "float64" });
      const instances = raggedInstances(model.architecture.head.kind);
      for (const module of others(model)) {
        const exact = (await featuresOf(model, instances, settingsFor(model, [module]))).rows;
        const { rows } = await featuresOf(model, instances, settingsFor(model, [module], changes));
        const wanted =
          projection === "rademacher"
            ? twoSided(model, module, exact, projection)
            : expected[projection](model, module, exact);
        expect(rows[0].length).toBeLessThanOrEqual(9);
        expect(relativeDifference(flat(rows), flat(wanted))).toBeLessThan(doubleTolerance);
      }
    });

    test("keep inner products in expectation, module by module", async () => {
      const { model, train, queries } = await goldenPair("float32");
      const modules = ["embedding.token", "embedding.position", "layers.0.attentionNorm"];
      const instances = concatInstances([selectInstances(queries, [0]), selectInstances(train, [0])]);
      const seeds = 2000;
      const parts = projection === "dense" ? ["*"] : modules; // dense: one part for all
      const values = new Map(parts.map((part) => [part, [] as number[]]));
      const exact = new Map<string, Matrix>();
      const put = async (settings: NativeFeatureSettings, each: (part: string, rows: Matrix) => void) => {
        const { rows, offsets } = await featuresOf(model, instances, settings);
        parts.forEach((part, m) =>
          each(part, part === "*" ? rows : rows.map((row) => row.slice(offsets[m], offsets[m + 1]))),
        );
      };
      await put(settingsFor(model, modules), (part, rows) => exact.set(part, rows));
      for (let seed = 0; seed < seeds; seed++) {
        await put(settingsFor(model, modules, { ...changes, seed }), (part, [left, right]) =>
          values.get(part)!.push(dot(left, right)),
        );
      }
      for (const part of parts) {
        const [left, right] = exact.get(part)!;
        const own = values.get(part)!;
        const mean = own.reduce((sum, value) => sum + value, 0) / seeds;
        const error = Math.sqrt(own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / seeds / seeds);
        expect(Math.abs(mean - dot(left, right))).toBeLessThan(5 * error); // five standard errors: a right mean fails one test in a million
        expect(error).toBeLessThan(0.1 * Math.sqrt(dot(left, left) * dot(right, right))); // the bound says something
      }
      model.close();
    });
  },
);

describe("principal directions", () => {
  test("of a norm are the first eigenvectors of its gradients' second moments", async () => {
    using model = await open("opt-classification");
    const train = raggedInstances("classification", 12);
    const settings = settingsFor(model, ["finalNorm"], { rank: 2, projection: "pca" });
    const exact = (await featuresOf(model, train, settingsFor(model, ["finalNorm"]))).rows;
    const root = await mkdtemp(join(tmpdir(), "attribution-norms-test-"));
    const store = await buildGradientStore(model, train, join(root, "store"), {
      parameters: ["finalNorm"],
      rank: settings.rank,
      projection: "pca",
      precision: "float32",
    });
    const features = rowsOf((await queryFeatures(model, train, store)).features, 12);
    const { values } = eigen(product(exact, transposed(exact)));
    const largest = [...values].sort((a, b) => b - a).slice(0, 4);
    const lengths = transposed(features).map((column) => dot(column, column)); // of uᵀ Gᵀ G u
    expect(relativeDifference(lengths, largest)).toBeLessThan(1e-3);
    await rm(root, { recursive: true, force: true });
  });

  test.each(tables)("of %s are refused", async (module) => {
    using model = await open("opt-classification");
    const train = raggedInstances("classification");
    const words = new RegExp(`pca.*${module}`);
    await expect(
      buildGradientStore(model, train, join(tmpdir(), "never-made"), { parameters: [module], projection: "pca" }),
    ).rejects.toMatchObject(refusal("unsupported", words));
    await expect(planGradientStore(model, train, { parameters: "all", projection: "pca" })).rejects.toMatchObject(
      refusal("unsupported", /pca.*embedding/),
    );
    await expect(
      featuresOf(model, train, settingsFor(model, [module], { projection: "pca", rank: 2 })),
    ).rejects.toMatchObject(refusal("unsupported", words));
  });
});

describe("methods", () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "attribution-embeddings-test-"));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  test("over a store of all modules give what exact features give", async () => {
    const { model, train, queries } = await goldenPair("float32");
    const options = { parameters: "all", rank: 0, precision: "float32" } as const;
    const plan = await planGradientStore(model, train, options);
    const store = await buildGradientStore(model, train, join(root, "exact"), options);
    expect(plan).toMatchObject({ width: store.width, bytesOnDisk: store.bytes });
    expect(store.segments.map(({ module }) => module)).toEqual(modulesOf(model.architecture, "all"));
    expect(store.segments[0]).toEqual({ module: "embedding.token", begin: 0, size: 24 * 8 });
    const { scores } = await storeSimilarity(store, await queryFeatures(model, queries, store));
    expect(
      relativeDifference(scores, (await gradientSimilarity(model, train, queries, { parameters: "all" })).scores),
    ).toBeLessThan(singleTolerance);
    for (const method of [projectedGaussNewton, dataInf, trak]) {
      const small = await method(model, train, queries, { parameters: ["embedding.*", "*orm"], rank: 2 });
      expect(small.scores.every(Number.isFinite)).toBe(true);
      expect(small.scores.some((score) => score !== 0)).toBe(true);
    }
    model.close();
  });

  test.each(["layers.1.attentionNorm", "finalNorm", "embedding.position"])(
    "of influence solve for %s: cg and Arnoldi of full rank agree",
    async (module) => {
      const { model, train, queries } = await goldenPair("float64");
      const options = { parameters: [module], damping: 3, iterations: 400 };
      const cg = await influence(model, train, queries, { ...options, tolerance: 1e-10 });
      const arnoldi = await influence(model, train, queries, { ...options, inverse: "arnoldi", rank: 400 });
      expect(cg.solver.residual).toBeLessThan(1e-9);
      expect(relativeDifference(arnoldi.scores, cg.scores)).toBeLessThan(0.05); // Arnoldi leaves out what the Krylov space does not reach
      const far = await influence(model, train, queries, { ...options, damping: 1e8 });
      const plain = await gradientSimilarity(model, train, queries, { parameters: [module] });
      expect(
        relativeDifference(
          far.scores.map((score) => score * 1e8),
          plain.scores,
        ),
      ).toBeLessThan(doubleTolerance);
      model.close();
    },
  );

  test.each<[Parameters, RegExp]>([
    ["norm", /embedding\.norm|layers\.0\.attentionNorm/],
    ["all", /embedding\.token/],
    [["layers.0.mlp.up", "finalNorm"], /finalNorm/],
  ])("EK-FAC refuses %j, naming the module", async (parameters, words) => {
    const { model, train, queries } = await goldenPair("float32");
    await expect(influence(model, train, queries, { inverse: "ekfac", parameters })).rejects.toMatchObject(
      refusal("unsupported", words),
    );
    await expect(fitEkfac(model, train, join(root, "factors"), { parameters })).rejects.toMatchObject(
      refusal("unsupported", words),
    );
    expect((await influence(model, train, queries, { inverse: "ekfac", parameters: "mlp" })).train).toBe(6);
    model.close();
  });

  test.each(["qwen3", "opt-post-norm-projected"])(
    "of %s break down into parts that sum to the score, by module and by token",
    async (name) => {
      using model = await open(name, { dtype: "float64" });
      const [train, queries] = [raggedInstances("causalLM", 4), raggedInstances("causalLM", 3)];
      const pairs = [
        [0, 0],
        [2, 1],
        [1, 3],
      ] as const;
      const expectSums = async (attribution: InstanceAttribution) => {
        for (const by of ["module", "trainToken", "queryToken"] as const) {
          const { pairs: parts } = await breakdown(model, train, queries, attribution, { by, pairs });
          expect(
            relativeDifference(
              parts.map(({ score }) => score),
              pairs.map(([q, z]) => attribution.scores[q * 4 + z]),
            ),
          ).toBeLessThan(singleTolerance);
          expect(
            parts.every(
              (part) =>
                part.parts.length ===
                (by === "module" ? modulesOf(model.architecture, "all").length : part.tokens.length),
            ),
          ).toBe(true);
        }
      };
      const exact = await gradientSimilarity(model, train, queries, { parameters: "all" });
      await expectSums(exact);
      for (const options of [{}, { projection: "sparse" }, { projection: "factoredSparse" }] as const)
        await expectSums(await dataInf(model, train, queries, { parameters: "all", rank: 2, ...options }));
      const {
        modules,
        pairs: [first],
      } = await breakdown(model, train, queries, exact, { by: "module", pairs: [[2, 1]] });
      for (const [m, module] of modules.entries()) {
        const { scores } = await gradientSimilarity(model, train, queries, { parameters: [module] });
        expect(Math.abs(first.parts[m] - scores[2 * 4 + 1])).toBeLessThan(doubleTolerance * Math.abs(first.score));
      }
    },
  );

  test("of influence take a tied token embedding, but not the head's part of it", async () => {
    using model = await open("gpt2");
    const instances = raggedInstances("causalLM", 2);
    const { scores } = await influence(model, instances, instances, { parameters: ["embedding.token"], damping: 1e8 });
    const plain = await gradientSimilarity(model, instances, instances, { parameters: ["embedding.token"] });
    expect(
      relativeDifference(
        scores.map((score) => score * 1e8),
        plain.scores,
      ),
    ).toBeLessThan(singleTolerance);
    await expect(influence(model, instances, instances, { parameters: "head" })).rejects.toMatchObject(
      refusal("unsupported", /embedding\.token/),
    );
  });
});
