// Joint attribution against brute force (all gradient entries but one unit's set to zero), its sums, and its independence of batches.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { dataInf } from "../../lib/instance/data-inf";
import { fitEkfac } from "../../lib/instance/ekfac/ekfac-factors";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { jointAttribution, type JointOptions } from "../../lib/instance/joint";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { randomInstances } from "../../lib/instance/random";
import { tracInCheckpoints } from "../../lib/instance/checkpoints/tracin-checkpoints";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { trak } from "../../lib/instance/trak";
import { load } from "../../lib/results/load";
import { save } from "../../lib/results/save";
import { top } from "../../lib/results/top";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution, JointAttribution } from "../../types/results";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { dot, rowsOf, solved } from "./feature-algebra";
import { type GoldenPair, goldenPair, selections } from "./golden-pair";
import { gradientOf, tokenGradients } from "./token-gradients";
import { unitEntries } from "./unit-entries";

/** A float32 score against the sum of float64 parts; and whole gradients as a store's float32 rows. */
const scoreTolerance = 1e-6;
/** Sums of doubles in another order. */
const doubleTolerance = 1e-9;
const all = 1_000_000; // units kept: every one

let pair: GoldenPair;
let folder: string;
beforeAll(async () => {
  pair = await goldenPair("float64");
  folder = await mkdtemp(join(tmpdir(), "attribution-joint-"));
});
afterAll(async () => {
  pair.model.close();
  await rm(folder, { recursive: true });
});

const split = (attribution: InstanceAttribution, options: JointOptions = {}) =>
  jointAttribution(pair.model, pair.train, pair.queries, attribution, { units: all, ...options });

/** Each pair's parts in the order of the units, [pair][unit]. */
function unitParts({ pairs, k, indices, parts }: JointAttribution): number[][] {
  return Array.from({ length: pairs }, (_, at) => {
    const row = new Array<number>(k).fill(NaN);
    for (let i = at * k; i < (at + 1) * k; i++) row[indices[i]] = parts[i];
    return row;
  });
}

function expectSums(joint: JointAttribution, { scores, train }: InstanceAttribution, tolerance = scoreTolerance): void {
  const { pairs, k, parts, others, rest, queryIndices, trainIndices, layers, units, queries } = joint;
  const wanted = Array.from(queryIndices, (query, at) => scores[query * train + trainIndices[at]]);
  expect(relativeDifference(joint.scores, wanted)).toBeLessThan(tolerance);
  const sums = Array.from(
    { length: pairs },
    (_, at) => parts.subarray(at * k, (at + 1) * k).reduce((sum, part) => sum + part, 0) + others[at] + rest[at],
  );
  expect(relativeDifference(sums, joint.scores)).toBeLessThan(1e-12);
  const totals = new Float64Array(queries);
  queryIndices.forEach((query, at) => (totals[query] += joint.scores[at]));
  const own = Array.from(
    totals,
    (_, query) =>
      joint.unitSums
        .subarray(query * layers * units, (query + 1) * layers * units)
        .reduce((sum, part) => sum + part, 0) + joint.restSums[query],
  );
  expect(relativeDifference(own, totals)).toBeLessThan(tolerance);
}

describe("joint attribution of gradient similarity", () => {
  test.each(familyCases)("of %s is the product with all entries but the unit's set to zero", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const kind = model.architecture.head.kind;
    const [train, queries] = [raggedInstances(kind, 5), raggedInstances(kind, 2)];
    const store = await buildGradientStore(model, train, join(folder, name), {
      parameters: ["*"],
      rank: 0,
      precision: "float32",
    });
    const gradients = async (instances: Instances) => {
      const { features, width } = await queryFeatures(model, instances, store);
      return (i: number) => features.subarray(i * width, (i + 1) * width);
    };
    const [ofTrain, ofQueries] = [await gradients(train), await gradients(queries)];
    const modules = store.segments.map(({ module }) => module);
    const first = store.segments.map(({ begin }) => begin);
    const { layers } = model.architecture;
    const attribution = await gradientSimilarity(model, train, queries, { parameters: ["*"] });
    const joint = await jointAttribution(model, train, queries, attribution, { units: all });
    expectSums(joint, attribution);
    const entries = Array.from({ length: layers }, (_, layer) =>
      unitEntries(model.architecture, modules, first, "column", layer),
    ).flat();
    expect(joint.layers * joint.units).toBe(entries.length);
    expect(joint.site).toBe("both");
    const wanted = Array.from(joint.queryIndices, (q, at) =>
      entries.map((own) =>
        own.reduce((sum, { at: p, share }) => sum + share * ofQueries(q)[p] * ofTrain(joint.trainIndices[at])[p], 0),
      ),
    );
    expect(relativeDifference(unitParts(joint).flat(), wanted.flat())).toBeLessThan(scoreTolerance);
    const sums = await jointAttribution(model, train, queries, attribution, { units: 0 });
    expect(relativeDifference(sums.unitSums, joint.unitSums)).toBeLessThan(doubleTolerance);
    expect(relativeDifference(sums.restSums, joint.restSums)).toBeLessThan(1e-7);
    expect(sums.scores).toEqual(Float64Array.from(attribution.scores));
  });

  test("and of its cosine sums to the score, alone or over all instances", async () => {
    const cosine = await gradientSimilarity(pair.model, pair.train, pair.queries, {
      parameters: "linear",
      similarity: "cosine",
    });
    const joint = await split(cosine);
    expectSums(joint, cosine);
    const sums = await split(cosine, { units: 0 });
    expect(relativeDifference(sums.unitSums, joint.unitSums)).toBeLessThan(doubleTolerance);
    expect(relativeDifference(sums.restSums, joint.restSums)).toBeLessThan(doubleTolerance);
  });

  test("in float32 and bfloat16 sums to the scores", async () => {
    for (const [dtype, tolerance] of [
      ["float32", 1e-5],
      ["bfloat16", 0.02], // products of bfloat16 gradients
    ] as const) {
      using model = await open("llama-gqa", { dtype });
      const [train, queries] = [raggedInstances("causalLM", 5), raggedInstances("causalLM", 2)];
      const attribution = await gradientSimilarity(model, train, queries, { parameters: "all" });
      for (const units of [3, 0]) {
        const joint = await jointAttribution(model, train, queries, attribution, { units });
        const total = joint.unitSums.reduce((sum, part) => sum + part, 0) + joint.restSums.reduce((a, b) => a + b, 0);
        expect(Math.abs(total / attribution.scores.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(tolerance);
      }
    }
  });
});

describe("joint attribution of influence", () => {
  test("is the explicit inverse Hessian's with all entries but the unit's set to zero (cg, Arnoldi in the whole space)", async () => {
    const { data, shape } = pair.wanted["hessian.mlpLast"];
    const damping = pair.wanted["lambda.mlpLast"].data[0];
    const matrix = rowsOf(data, shape[0]);
    matrix.forEach((row, i) => (row[i] += damping));
    const { modules, offsets, train, queries } = await tokenGradients(pair, selections["mlpLast"]);
    const entries = Array.from({ length: 2 }, (_, layer) =>
      unitEntries(pair.model.architecture, modules, offsets, "after", layer),
    ).flat();
    const vectors = queries.map((rows) => solved(matrix, [gradientOf(rows)])[0]);
    const wanted = vectors.flatMap((vector) =>
      train.flatMap((rows) => {
        const gradient = gradientOf(rows);
        return entries.map((own) =>
          dot(
            own.map(({ at }) => vector[at]),
            own.map(({ at }) => gradient[at]),
          ),
        );
      }),
    );
    const common = { parameters: selections["mlpLast"], damping };
    for (const options of [
      { ...common, inverse: "cg", iterations: 2000, tolerance: 1e-12 },
      { ...common, inverse: "arnoldi", iterations: shape[0], rank: shape[0] },
    ] as const) {
      const attribution = await influence(pair.model, pair.train, pair.queries, options);
      const joint = await split(attribution);
      expectSums(joint, attribution);
      expect(relativeDifference(unitParts(joint).flat(), wanted)).toBeLessThan(1e-6); // the solvers' own tolerance
    }
  });

  test.each<[string, InfluenceOptions]>([
    ["identity", {}],
    ["cg", { damping: 5000, tolerance: 1e-10, iterations: 500 }],
    ["lissa", { scale: 100, recursions: 30, batchSize: 2 }],
    ["arnoldi", { iterations: 20, rank: 10 }],
    ["ekfac", {}],
  ])("%s sums to the scores, whatever the batches, the memory and the order", async (inverse, options) => {
    const given = { ...options, inverse, parameters: "linear" } as InfluenceOptions;
    const attribution = await influence(pair.model, pair.train, pair.queries, given);
    const joint = await split(attribution);
    expectSums(joint, attribution);
    const memory = inverse === "arnoldi" ? "1 MB" : "100 kB"; // of several vectors a query; Arnoldi's whole space
    const small = await split(attribution, { batchTokens: 1, memory });
    expect(relativeDifference(unitParts(small).flat(), unitParts(joint).flat())).toBeLessThan(scoreTolerance);
    const sums = await split(attribution, { units: 0, memory });
    expect(relativeDifference(sums.unitSums, joint.unitSums)).toBeLessThan(scoreTolerance);
    const pairs = [
      [2, 1],
      [0, 5],
      [2, 0],
      [1, 3],
    ] as const;
    const some = await split(attribution, { pairs });
    expect(
      relativeDifference(
        unitParts(some).flat(),
        pairs.flatMap(([q, z]) => unitParts(joint)[q * 6 + z]),
      ),
    ).toBeLessThan(scoreTolerance);
    expectSums(some, attribution);
    if (inverse === "lissa") return; // its batches are drawn by place
    const order = [3, 0, 5, 1, 4, 2];
    const turned = selectInstances(pair.train, order);
    const other = await influence(pair.model, turned, pair.queries, given);
    if (inverse === "ekfac") return; // its labels are drawn by place
    const reordered = await jointAttribution(pair.model, turned, pair.queries, other, { units: all });
    expect(
      relativeDifference(
        unitParts(reordered).flat(),
        [0, 1, 2].flatMap((q) => order.flatMap((z) => unitParts(joint)[q * 6 + z])),
      ),
    ).toBeLessThan(1e-5);
  });

  test("takes stored factors of EK-FAC", async () => {
    const attribution = await influence(pair.model, pair.train, pair.queries, { inverse: "ekfac", parameters: "mlp" });
    const factors = join(folder, "factors");
    await fitEkfac(pair.model, pair.train, factors, { parameters: "mlp" });
    const [stored, made] = [await split(attribution, { factors }), await split(attribution)];
    expect(relativeDifference(unitParts(stored).flat(), unitParts(made).flat())).toBeLessThan(1e-12); // a map is aligned otherwise
  });
});

describe("joint attribution of gradient features", () => {
  const projections = ["gaussian", "rademacher", "pca", "dense", "sparse", "factoredSparse"] as const;
  test.each(projections)("with the projection %s sums to the scores", async (projection) => {
    const store = await buildGradientStore(pair.model, pair.train, join(folder, projection), {
      parameters: "linear",
      rank: 3,
      projection,
      ...(projection === "factoredSparse" ? { mask: 5 } : {}),
      precision: "float32",
    });
    const features = await queryFeatures(pair.model, pair.queries, store);
    for (const options of [
      { preconditioner: "none" },
      { preconditioner: "none", similarity: "cosine" },
      { preconditioner: "gaussNewton" },
      { preconditioner: "gaussNewton", similarity: "cosine" },
      { preconditioner: "dataInf" },
      { preconditioner: "trak" },
    ] as const) {
      const attribution = await storeSimilarity(store, features, { ...options, damping: 0.2, topK: undefined });
      const joint = await split(attribution, { store });
      expectSums(joint, attribution, 1e-4); // features and their products are floats
      const [sums, small] = [
        await split(attribution, { store, units: 0 }),
        await split(attribution, { store, batchTokens: 1 }),
      ];
      expect(relativeDifference(sums.unitSums, joint.unitSums)).toBeLessThan(scoreTolerance);
      expect(relativeDifference(unitParts(small).flat(), unitParts(joint).flat())).toBeLessThan(scoreTolerance);
    }
  });

  test("without a projection is that of whole gradients", async () => {
    const store = await buildGradientStore(pair.model, pair.train, join(folder, "whole"), {
      parameters: ["*"],
      rank: 0,
      precision: "float32",
    });
    const features = await queryFeatures(pair.model, pair.queries, store);
    const joint = await split(await storeSimilarity(store, features), { store });
    const exact = await split(await gradientSimilarity(pair.model, pair.train, pair.queries, { parameters: ["*"] }));
    expect(relativeDifference(unitParts(joint).flat(), unitParts(exact).flat())).toBeLessThan(scoreTolerance);
    expect(relativeDifference(joint.rest, exact.rest)).toBeLessThan(scoreTolerance);
  });

  test("makes a store for the call, and takes the best of each query", async () => {
    for (const method of [projectedGaussNewton, dataInf, trak]) {
      const best = await method(pair.model, pair.train, pair.queries, { rank: 3, topK: 2 });
      const joint = await jointAttribution(pair.model, pair.train, pair.queries, best, { units: 4 });
      expect(joint.pairs).toBe(6);
      expect(Array.from(joint.trainIndices)).toEqual("indices" in best ? Array.from(best.indices) : []);
      expect(relativeDifference(joint.scores, best.scores)).toBeLessThan(1e-4);
    }
  });
});

describe("a joint attribution", () => {
  let model: Model;
  let attribution: InstanceAttribution;
  beforeAll(async () => {
    ({ model } = pair);
    attribution = await gradientSimilarity(model, pair.train, pair.queries, { parameters: "linear" });
  });

  test("keeps the units of the largest magnitude, in order, and says what the others are together", async () => {
    const [whole, some] = [await split(attribution), await split(attribution, { units: 5 })];
    unitParts(whole).forEach((row, at) => {
      const best = row
        .map((_, unit) => unit)
        .sort((a, b) => Math.abs(row[b]) - Math.abs(row[a]) || a - b)
        .slice(0, 5);
      expect(Array.from(some.indices.subarray(at * 5, at * 5 + 5))).toEqual(best);
      const others = row.reduce((sum, part) => sum + part, 0) - best.reduce((sum, unit) => sum + row[unit], 0);
      expect(some.others[at]).toBeCloseTo(others, 12);
    });
    const { intermediate, heads } = model.architecture;
    expect([some.units, some.neurons, some.site, some.k]).toEqual([intermediate + heads, intermediate, "both", 5]);
    const [best] = top(some, 3, 1);
    expect(best).toEqual({
      index: some.indices[15],
      layer: Math.floor(some.indices[15] / some.units),
      unit: some.indices[15] % some.units,
      site: "both",
      score: some.parts[15],
    });
    expect(top(some, 3, 100).length).toBe(5);
    expect(some.provenance).toMatchObject({
      method: "jointAttribution",
      options: { attribution: "gradientSimilarity", units: 5 },
      modelHash: model.hash,
    });
  });

  test("has the units of the selected modules only", async () => {
    for (const [parameters, site] of [
      ["mlp", "neurons"],
      ["attention", "heads"],
    ] as const) {
      const own = await gradientSimilarity(model, pair.train, pair.queries, { parameters });
      const joint = await split(own);
      expect(joint.site).toBe(site);
      expect(joint.units).toBe(site === "heads" ? model.architecture.heads : model.architecture.intermediate);
      expectSums(joint, own);
      expect(modulesOf(model.architecture, parameters).length).toBeGreaterThan(1);
    }
  });

  test("is saved and loaded, and one that is not whole is refused", async () => {
    const joint = await split(attribution, { units: 3, topK: 2 });
    await save(joint, join(folder, "saved"));
    expect(await load(join(folder, "saved"), { kind: "joint" })).toEqual(joint);
    const damaged = { ...joint, indices: joint.indices.map(() => 1e6) };
    await expect(save(damaged, join(folder, "damaged"))).rejects.toMatchObject(refusal("invalid", /"indices"/));
  });

  test.each<[string, JointOptions, string, RegExp]>([
    ["a negative number of units", { units: -1 }, "invalid", /"units"/],
    ["pairs that are not there", { pairs: [[0, 6]] }, "invalid", /"pairs"/],
    [
      "a pair twice",
      {
        pairs: [
          [0, 1],
          [0, 1],
        ],
      },
      "invalid",
      /twice/,
    ],
    ["pairs beside their number", { pairs: [[0, 0]], topK: 3 }, "invalid", /one of them/],
    ["a budget below one vector", { memory: 100 }, "memory", /"memory"/],
    ["a store that the method has not", { store: {} as never }, "invalid", /"store"/],
    ["a misspelt option", { unit: 3 } as never, "unknown", /"units"/],
  ])("is refused for %s", async (_name, options, code, words) => {
    await expect(split(attribution, options)).rejects.toMatchObject(refusal(code as never, words));
  });

  test("is refused for what has no units, no products, several models, or tokens in a store only", async () => {
    const { train, queries } = pair;
    const head = await gradientSimilarity(model, train, queries, { parameters: "head" });
    await expect(split(head)).rejects.toMatchObject(refusal("unsupported", /No unit/));
    await expect(split(await randomInstances(train, queries))).rejects.toMatchObject(refusal("unsupported", /random/));
    const sum = await tracInCheckpoints([{ model, learningRate: 1 }], train, queries);
    await expect(split(sum)).rejects.toMatchObject(refusal("unsupported", /checkpoints/));
    const store = await buildGradientStore(model, train, join(folder, "tokens"), { rank: 2 });
    const scores = await storeSimilarity(store, await queryFeatures(model, queries, store));
    await expect(jointAttribution(model, store as never, queries, scores)).rejects.toMatchObject(
      refusal("missing", /store holds no tokens/),
    );
    using other = await open("opt-classification");
    await expect(jointAttribution(other, train, queries, attribution)).rejects.toMatchObject(
      refusal("mismatch", /another model/),
    );
    await expect(jointAttribution(model, queries, queries, attribution)).rejects.toMatchObject(
      refusal("mismatch", /another training set/),
    );
  });
});
