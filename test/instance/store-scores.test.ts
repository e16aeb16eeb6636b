// Scores from a store against their formulas in dense linear algebra, in doubles, on a very small classifier.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { dataInf } from "../../lib/instance/data-inf";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { selfInfluence } from "../../lib/instance/self-influence";
import { queryFeatures, storeSimilarity, type StoreSimilarityOptions } from "../../lib/instance/store/scores";
import { trak } from "../../lib/instance/trak";
import { evaluate } from "../../lib/model/evaluate";
import { topIndices } from "../../lib/results/ranking";
import { load } from "../../lib/results/load";
import { save } from "../../lib/results/save";
import type { GradientStore, QueryFeatures } from "../../types/store";
import { relativeDifference } from "../model/golden-cases";
import { refusal } from "../storage/refusal";
import { dampedMoments, dot, type Features, flat, type Matrix, product, solved, transposed } from "./feature-algebra";
import type { GoldenPair } from "./golden-pair";
import { storedPair } from "./stored-pair";

/** Features are floats; what is made of them is double, and scores are floats again. */
const formulaTolerance = 1e-6;
const damping = 0.2;

let root: string;
let pair: GoldenPair;
let store: GradientStore;
let queries: QueryFeatures;
let trainFeatures: Features;
let queryRows: Features;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attribution-scores-test-"));
  ({ pair, store, queries, trainFeatures, queryRows } = await storedPair(join(root, "store")));
});
afterAll(async () => {
  pair.model.close();
  await rm(root, { recursive: true, force: true });
});

const scores = async (options: StoreSimilarityOptions) =>
  (await storeSimilarity(store, queries, { damping, ...options, topK: undefined })).scores;
const modules = () =>
  Array.from({ length: trainFeatures.offsets.length - 1 }, (_, m) => {
    const part = (rows: Matrix) => rows.map((row) => row.slice(trainFeatures.offsets[m], trainFeatures.offsets[m + 1]));
    return { train: part(trainFeatures.rows), queries: part(queryRows.rows) };
  });
const summed = (parts: Matrix[]): number[] =>
  parts.map(flat).reduce((sum, part) => sum.map((value, i) => value + part[i]));

describe("scores equal their formulas", () => {
  test("without preconditioner: inner product and cosine; exact features are gradientSimilarity", async () => {
    const dots = product(queryRows.rows, transposed(trainFeatures.rows));
    expect(relativeDifference(await scores({}), flat(dots))).toBeLessThan(formulaTolerance);
    const norm = (row: number[]) => Math.sqrt(dot(row, row));
    const cosines = dots.map((row, q) =>
      row.map((value, z) => value / norm(queryRows.rows[q]) / norm(trainFeatures.rows[z])),
    );
    expect(relativeDifference(await scores({ similarity: "cosine" }), flat(cosines))).toBeLessThan(formulaTolerance);
    const exact = await buildGradientStore(pair.model, pair.train, join(root, "exact"), {
      parameters: "linear",
      rank: 0,
      precision: "float32",
    });
    for (const similarity of ["dot", "cosine"] as const) {
      const stored = await storeSimilarity(exact, await queryFeatures(pair.model, pair.queries, exact), { similarity });
      expect(relativeDifference(stored.scores, pair.wanted[`${similarity}.linear`].data)).toBeLessThan(
        formulaTolerance,
      );
      expect(stored.unit).toBe((await gradientSimilarity(pair.model, pair.train, pair.queries, { similarity })).unit);
    }
  });

  test("Gauss-Newton: g_qᵀ (H + λI)⁻¹ g_z per module, and its cosine", async () => {
    const parts = modules().map(({ train, queries: rows }) =>
      product(solved(dampedMoments(train, damping, train.length), rows), transposed(train)),
    );
    expect(relativeDifference(await scores({ preconditioner: "gaussNewton" }), summed(parts))).toBeLessThan(
      formulaTolerance,
    );
    // H^(-1/2) on both sides: the same inner products over the norms √(gᵀ H⁻¹ g).
    const selves = (side: "train" | "queries") =>
      summed(
        modules().map((m) => [
          solved(dampedMoments(m.train, damping, 6), m[side]).map((row, i) => dot(row, m[side][i])),
        ]),
      );
    const [own, others] = [selves("queries"), selves("train")];
    const cosines = summed(parts).map((value, i) => value / Math.sqrt(own[Math.floor(i / 6)] * others[i % 6]));
    expect(
      relativeDifference(await scores({ preconditioner: "gaussNewton", similarity: "cosine" }), cosines),
    ).toBeLessThan(formulaTolerance);
    expect(
      relativeDifference((await selfInfluence(store, { preconditioner: "gaussNewton", damping })).scores, others),
    ).toBeLessThan(formulaTolerance);
    expect(
      relativeDifference(
        (await selfInfluence(store)).scores,
        trainFeatures.rows.map((row) => dot(row, row)),
      ),
    ).toBeLessThan(formulaTolerance);
  });

  test("DataInf: (1 / nλ) Σ_i [v − (vᵀg_i) / (λ + ‖g_i‖²) g_i] · g_z per module", async () => {
    const parts = modules().map(({ train, queries: rows }) => {
      const lambda = (damping * train.reduce((sum, g) => sum + dot(g, g) / g.length, 0)) / train.length;
      const turned = rows.map((v) =>
        v.map(
          (value, j) =>
            train.reduce((sum, g) => sum + value - (dot(v, g) / (lambda + dot(g, g))) * g[j], 0) /
            (train.length * lambda),
        ),
      );
      return product(turned, transposed(train));
    });
    expect(relativeDifference(await scores({ preconditioner: "dataInf" }), summed(parts))).toBeLessThan(
      formulaTolerance,
    );
  });

  test("TRAK: (1 − p_z) φ_qᵀ (ΦᵀΦ + λI)⁻¹ φ_z with φ = ∇L / (1 − p), all modules together", async () => {
    const doubts = async (instances: typeof pair.train) =>
      Array.from((await evaluate(pair.model, instances)).losses, (loss) => 1 - Math.exp(-loss));
    const [ofTrain, ofQueries] = [await doubts(pair.train), await doubts(pair.queries)];
    const [phi, phiQ] = [
      trainFeatures.rows.map((row, i) => row.map((g) => g / ofTrain[i])),
      queryRows.rows.map((row, i) => row.map((g) => g / ofQueries[i])),
    ];
    const wanted = product(solved(dampedMoments(phi, damping, 1), phiQ), transposed(phi)).map((row) =>
      row.map((value, z) => value * ofTrain[z]),
    );
    expect(relativeDifference(await scores({ preconditioner: "trak" }), flat(wanted))).toBeLessThan(formulaTolerance);
  });
});

describe("the best of each query", () => {
  test.each(["none", "gaussNewton", "dataInf", "trak"] as const)(
    "with %s are the sorted full matrix, whatever the blocks",
    async (preconditioner) => {
      const full = await scores({ preconditioner });
      for (const memory of ["1 GB", preconditioner === "none" ? 300 : preconditioner === "dataInf" ? 500 : "200 kb"]) {
        // 300 and 500 bytes: row by row
        const best = await storeSimilarity(store, queries, { preconditioner, damping, topK: 4, memory });
        expect(best).toMatchObject({ kind: "topInstances", k: 4, queries: 3, train: 6, trainIds: pair.train.ids });
        for (let query = 0; query < 3; query++) {
          const row = full.slice(query * 6, query * 6 + 6);
          const order = topIndices(row, 4);
          expect(best.indices.slice(query * 4, query * 4 + 4)).toEqual(order);
          expect(
            relativeDifference(
              best.scores.slice(query * 4, query * 4 + 4),
              Array.from(order, (i) => row[i]),
            ),
          ).toBeLessThan(1e-6);
        }
      }
    },
  );

  test("equal scores come in the order of rows, and k is at most the rows", async () => {
    const { model, train } = pair;
    const repeated = await buildGradientStore(model, selectInstances(train, [0, 1, 0, 1, 0]), join(root, "repeated"), {
      parameters: "mlp",
      rank: 3,
      precision: "int8",
    });
    const features = await queryFeatures(model, pair.queries, repeated);
    const best = await storeSimilarity(repeated, features, { topK: 99 });
    expect(best.k).toBe(5);
    for (let query = 0; query < 3; query++)
      expect([
        [0, 2, 4, 1, 3],
        [1, 3, 0, 2, 4],
      ]).toContainEqual(Array.from(best.indices.slice(query * 5, query * 5 + 5)));
    const two = await storeSimilarity(repeated, features, { topK: 2 });
    for (let query = 0; query < 3; query++)
      expect(Array.from(two.indices.slice(query * 2, query * 2 + 2))).toEqual(
        Array.from(best.indices.slice(query * 5, query * 5 + 2)),
      );
  });

  test("is a result that can be saved and loaded", async () => {
    const best = await storeSimilarity(store, queries, { topK: 2 });
    await save(best, join(root, "saved"));
    expect(await load(join(root, "saved"))).toEqual(best);
  });
});

describe("the methods by name", () => {
  const methods = { projectedGaussNewton, dataInf, trak } as const;
  const preconditioners = { projectedGaussNewton: "gaussNewton", dataInf: "dataInf", trak: "trak" } as const;

  test.each(["projectedGaussNewton", "dataInf", "trak"] as const)(
    "%s takes a store or makes one for the call, and leaves nothing behind",
    async (name) => {
      const stores = async () =>
        (await readdir(tmpdir())).filter(
          (file) => file.startsWith("attribution-store-") && !file.startsWith("attribution-store-test-"),
        );
      const before = await stores();
      const wanted = await scores({ preconditioner: preconditioners[name] });
      const ofStore = await methods[name](pair.model, store, pair.queries, { damping });
      const ofTrain = await methods[name](pair.model, pair.train, pair.queries, {
        damping,
        parameters: "mlp",
        rank: 3,
      });
      expect(ofStore.scores).toEqual(wanted);
      expect(relativeDifference(ofTrain.scores, wanted)).toBeLessThan(1e-6);
      expect(ofTrain.provenance).toMatchObject({
        method: name,
        modelHash: pair.model.hash,
        dataHashes: { train: pair.train.hash, queries: pair.queries.hash },
      });
      expect((await methods[name](pair.model, store, pair.queries, { damping, topK: 2 })).k).toBe(2);
      expect((await stores()).filter((file) => !before.includes(file))).toEqual([]);
    },
  );
});

describe("refuses", () => {
  test.each<[string, StoreSimilarityOptions, string, RegExp]>([
    ["another preconditioner", { preconditioner: "hessian" as never }, "invalid", /"preconditioner"/],
    ["no damping", { preconditioner: "trak", damping: 0 }, "invalid", /"damping"/],
    ["a cosine that has no meaning", { preconditioner: "trak", similarity: "cosine" }, "unsupported", /trak/],
    ["half an instance", { topK: 0.5 }, "invalid", /"topK"/],
    ["matrices beyond the budget", { preconditioner: "trak", memory: 500 }, "memory", /raise "memory"/],
    ["a budget below one row", { memory: 200 }, "memory", /A row of 36 features takes 288 bytes.*raise "memory"/],
    ["a misspelt option", { top: 3 } as never, "unknown", /"top"/],
  ])("%s", async (_name, options, code, words) => {
    await expect(storeSimilarity(store, queries, options)).rejects.toMatchObject(refusal(code as never, words));
    expect((await scores({})).length).toBe(18);
  });

  test("features of another store, a store's option beside a store, and what is no store", async () => {
    const other = await buildGradientStore(pair.model, pair.train, join(root, "other"), {
      parameters: "mlp",
      rank: 3,
      seed: 5,
    });
    await expect(storeSimilarity(other, queries)).rejects.toMatchObject(refusal("mismatch", /not made for the store/));
    await expect(trak(pair.model, store, pair.queries, { rank: 3 })).rejects.toMatchObject(
      refusal("invalid", /"rank" is the store's/),
    );
    await expect(storeSimilarity({} as never, queries)).rejects.toMatchObject(refusal("invalid", /"store"/));
    await expect(selfInfluence(store, { preconditioner: "hessian" as never })).rejects.toMatchObject(
      refusal("invalid", /"preconditioner"/),
    );
  });
});
