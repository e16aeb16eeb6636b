// Projections of whole gradients (dense, sparse, factored and sparse) and by principal directions, against brute force on exact features.
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concatInstances, createInstances } from "../../lib/data/instances";
import { appendToGradientStore, buildGradientStore, openGradientStore } from "../../lib/instance/gradient-store";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { planGradientStore } from "../../lib/instance/store/plan";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { native } from "../../lib/native";
import type { NativeFeatureSettings, Projection } from "../../types/native";
import { relativeDifference } from "../model/golden-cases";
import { refusal } from "../storage/refusal";
import { dot, eigen, featuresOf, flat, type Matrix, product, rowsOf, settingsFor, transposed } from "./feature-algebra";
import { type GoldenPair, goldenPair } from "./golden-pair";

const doubleTolerance = 1e-6; // doubles that came back as floats
const singleTolerance = 1e-4; // sums of float products in another order
const eigenTolerance = 1e-4; // float covariances, whose eigenvectors move by their rounding over the gap

let pair: GoldenPair;
let root: string;
let count = 0;
const folder = () => join(root, `store-${count++}`);
const names = ["layers.0.mlp.*", "layers.1.attention.*", "score"];
const modules = () => modulesOf(pair.model.architecture, names);
const settings = (changes: Partial<NativeFeatureSettings>) => settingsFor(pair.model, names, { seed: 7, ...changes });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attribution-projections-test-"));
  pair = await goldenPair("float64");
});
afterAll(async () => {
  pair.model.close();
  await rm(root, { recursive: true, force: true });
});

const outputOf = (module: string): number => (module === "score" ? 3 : 8);
const at = (row: readonly number[], places: ArrayLike<number>): number[] => Array.from(places, (place) => row[place]);

/** Rows of exact gradients by the matrix with one ±1 in each column. */
function sparse(rows: Matrix, features: number, name: string): Matrix {
  const { buckets, signs } = native().sparseProjection({ features, width: rows[0].length, seed: 7, name });
  return rows.map((row) => {
    const sums = Array<number>(features).fill(0);
    row.forEach((value, i) => {
      sums[buckets[i]] += value * signs[i];
    });
    return sums;
  });
}

async function exactPart(module: string): Promise<Matrix> {
  return (await featuresOf(pair.model, pair.train, settingsFor(pair.model, [module]))).rows;
}

describe("features of whole gradients", () => {
  test("sparse: each module's gradient by a matrix with one ±1 in each column", async () => {
    const wanted: Matrix[] = [];
    for (const module of modules()) wanted.push(sparse(await exactPart(module), 9, `${module}.sparse`));
    const { rows, offsets } = await featuresOf(pair.model, pair.train, settings({ projection: "sparse", rank: 3 }));
    expect(Array.from(offsets)).toEqual(
      modules()
        .map((_, i) => 9 * i)
        .concat(9 * modules().length),
    );
    expect(
      relativeDifference(
        flat(rows),
        rows.flatMap((_, r) => wanted.flatMap((part) => part[r])),
      ),
    ).toBeLessThan(doubleTolerance);
  });

  test("factored sparse: a random part of both sides, scaled, then so", async () => {
    const mask = 5;
    const wanted: Matrix[] = [];
    for (const module of modules()) {
      const masked = (await exactPart(module)).map((row) => {
        const gradient = rowsOf(row, outputOf(module));
        const side = (width: number, which: string) =>
          width > mask
            ? native().randomPlaces({ kept: mask, width, seed: 7, name: `${module}.${which}` })
            : Array.from({ length: width }, (_, i) => i);
        const [inputs, outputs] = [side(gradient[0].length, "input"), side(gradient.length, "output")];
        const scale = Math.sqrt((gradient[0].length / inputs.length) * (gradient.length / outputs.length));
        return Array.from(outputs).flatMap((o) => at(gradient[o], inputs).map((value) => value * scale));
      });
      wanted.push(sparse(masked, 9, `${module}.sparse`));
    }
    const { rows } = await featuresOf(
      pair.model,
      pair.train,
      settings({ projection: "factoredSparse", rank: 3, mask }),
    );
    expect(
      relativeDifference(
        flat(rows),
        rows.flatMap((_, r) => wanted.flatMap((part) => part[r])),
      ),
    ).toBeLessThan(doubleTolerance);
  });

  test("dense: all modules as one vector by one matrix", async () => {
    let wanted: Matrix | undefined;
    for (const module of modules()) {
      const exact = await exactPart(module);
      const width = exact[0].length;
      const part = product(
        exact,
        transposed(
          rowsOf(
            native().projectionMatrix({ projection: "gaussian", rank: 9, width, seed: 7, name: `${module}.dense` }),
            9,
          ),
        ),
      );
      wanted = wanted === undefined ? part : wanted.map((row, r) => row.map((value, i) => value + part[r][i]));
    }
    const { rows, offsets } = await featuresOf(pair.model, pair.train, settings({ projection: "dense", rank: 3 }));
    expect(Array.from(offsets)).toEqual([0, 9]);
    expect(relativeDifference(flat(rows), flat(wanted!))).toBeLessThan(doubleTolerance);
  });

  test.each(["dense", "sparse", "factoredSparse"] as const)(
    "%s: do not depend on batches and order",
    async (projection) => {
      const chosen = settings({ projection, rank: 3, mask: 5 });
      const whole = await featuresOf(pair.model, pair.train, chosen);
      expect(
        relativeDifference(flat((await featuresOf(pair.model, pair.train, chosen, 1)).rows), flat(whole.rows)),
      ).toBeLessThan(doubleTolerance);
      const turned = concatInstances([pair.queries, pair.train]);
      expect(
        relativeDifference(
          flat((await featuresOf(pair.model, turned, chosen)).rows.slice(pair.queries.size)),
          flat(whole.rows),
        ),
      ).toBeLessThan(doubleTolerance);
    },
  );

  test.each<[Projection, number]>([
    ["dense", 0],
    ["sparse", 0],
    ["factoredSparse", 5],
  ])("%s: keep inner products in expectation", async (projection, mask) => {
    const seeds = 2000;
    const both = concatInstances([pair.train, pair.queries]);
    const exact = (await featuresOf(pair.model, both, settings({}))).rows;
    const [query, instance] = [exact[pair.train.size], exact[0]];
    const values: number[] = [];
    for (let seed = 0; seed < seeds; seed++) {
      const { rows } = await featuresOf(pair.model, both, settings({ projection, rank: 3, mask, seed }));
      values.push(dot(rows[pair.train.size], rows[0]));
    }
    const mean = values.reduce((sum, value) => sum + value, 0) / seeds;
    const error = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / seeds / seeds);
    // Five standard errors: a right mean fails one test in a million.
    expect(Math.abs(mean - dot(query, instance))).toBeLessThan(5 * error);
    expect(error).toBeLessThan(0.05 * Math.sqrt(dot(query, query) * dot(instance, instance))); // the bound says something
  });
});

describe("principal directions", () => {
  /** Rows of one token: a gradient is g aᵀ, so that both can be read off it. */
  const single = () =>
    createInstances({
      kind: "classification",
      rows: Array.from({ length: 12 }, (_, i) => [3 + i]),
      labels: Array.from({ length: 12 }, (_, i) => i % 3),
    });

  /** The first eigenvectors of Σ x xᵀ, each with its largest entry positive. */
  function directions(rows: Matrix, rank: number): Matrix {
    const { values, vectors } = eigen(product(transposed(rows), rows));
    const order = values
      .map((_, i) => i)
      .sort((a, b) => values[b] - values[a])
      .slice(0, rank);
    return order.map((i) => {
      const largest = vectors[i].reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most));
      return vectors[i].map((value) => value * Math.sign(largest));
    });
  }

  test("are the first eigenvectors of both sides' second moments", async () => {
    const train = single();
    const module = "layers.1.mlp.down";
    const exact = (await featuresOf(pair.model, train, settingsFor(pair.model, [module]))).rows.map((row) =>
      rowsOf(row, 8),
    );
    const gradients = exact.map((matrix) => matrix.map((row) => row[row.length - 1])); // the bias is an input of 1
    const inputs = exact.map((matrix, i) =>
      matrix[0].map(
        (_, column) =>
          dot(
            matrix.map((row) => row[column]),
            gradients[i],
          ) / dot(gradients[i], gradients[i]),
      ),
    );
    const store = await buildGradientStore(pair.model, train, folder(), {
      parameters: [module],
      rank: 2,
      projection: "pca",
      precision: "float32",
    });
    const features = (await queryFeatures(pair.model, train, store)).features;
    const [right, left] = [directions(inputs, 2), directions(gradients, 2)];
    const wanted = exact.map((matrix) => flat(product(product(left, matrix), transposed(right))));
    expect(relativeDifference(features, flat(wanted))).toBeLessThan(eigenTolerance);
  });

  test("serve a store: build, append, open, query; a full rank keeps all inner products", async () => {
    const options = { parameters: names, projection: "pca", precision: "float32" } as const;
    const store = await buildGradientStore(pair.model, pair.train, folder(), { ...options, rank: 3 });
    const queries = await queryFeatures(pair.model, pair.queries, store);
    const rows = await queryFeatures(pair.model, pair.train, await openGradientStore(store.directory));
    const { scores } = await storeSimilarity(store, queries);
    const wanted = product(rowsOf(queries.features, queries.queries), transposed(rowsOf(rows.features, rows.queries)));
    expect(relativeDifference(scores, flat(wanted))).toBeLessThan(singleTolerance);
    const larger = await appendToGradientStore(pair.model, pair.queries, store.directory);
    expect(larger.rows).toBe(store.rows + pair.queries.size);
    expect(larger.settings.basis).toBe(store.settings.basis);
    const whole = await buildGradientStore(pair.model, pair.train, folder(), { ...options, rank: 40 });
    const exact = (await featuresOf(pair.model, concatInstances([pair.queries, pair.train]), settings({}))).rows;
    const all = product(exact.slice(0, pair.queries.size), transposed(exact.slice(pair.queries.size)));
    expect(
      relativeDifference(
        (await storeSimilarity(whole, await queryFeatures(pair.model, pair.queries, whole))).scores,
        flat(all),
      ),
    ).toBeLessThan(singleTolerance);
  });

  test("are refused where they are not the store's", async () => {
    const store = await buildGradientStore(pair.model, pair.train, folder(), { rank: 3, projection: "pca" });
    const other = await buildGradientStore(pair.model, pair.queries, folder(), { rank: 3, projection: "pca" });
    const features = await queryFeatures(pair.model, pair.queries, other);
    await expect(storeSimilarity(store, features)).rejects.toMatchObject(refusal("mismatch", /queryFeatures/));
    await cp(join(other.directory, "projections.safetensors"), join(store.directory, "projections.safetensors"));
    await expect(queryFeatures(pair.model, pair.queries, store)).rejects.toMatchObject(
      refusal("corrupt", /projections/),
    );
    await writeFile(join(store.directory, "projections.safetensors"), "x");
    await expect(queryFeatures(pair.model, pair.queries, store)).rejects.toMatchObject(
      refusal("corrupt", /projections/),
    );
  });
});

describe("a store with every projection", () => {
  // Rank 4 of modules with 8 outputs; the head's 3 outputs stay whole beside principal directions.
  const widths = {
    dense: () => 16,
    sparse: () => 16 * modules().length,
    factoredSparse: () => 16 * modules().length,
    pca: () => 16 * (modules().length - 1) + 12,
  };

  test.each(["dense", "sparse", "factoredSparse", "pca"] as const)(
    "%s: holds the features, plans its bytes, resumes as finished",
    async (projection) => {
      const options = {
        parameters: [...modules()],
        rank: 4,
        projection,
        precision: "float32",
        ...(projection === "factoredSparse" ? { mask: 6 } : {}),
      } as const;
      const plan = await planGradientStore(pair.model, pair.train, options);
      const store = await buildGradientStore(pair.model, pair.train, folder(), options);
      expect(store.width).toBe(widths[projection]());
      expect(plan).toMatchObject({ width: store.width, bytesOnDisk: store.bytes });
      expect(store.segments.map(({ module }) => module)).toEqual(projection === "dense" ? ["*"] : modules());
      expect(await buildGradientStore(pair.model, pair.train, store.directory, options)).toEqual(store);
      const self = await queryFeatures(pair.model, pair.train, store);
      const { scores } = await storeSimilarity(store, self);
      const rows = rowsOf(self.features, self.queries);
      expect(relativeDifference(scores, flat(product(rows, transposed(rows))))).toBeLessThan(singleTolerance);
      await expect(
        buildGradientStore(pair.model, pair.train, store.directory, {
          ...options,
          projection: "gaussian",
          mask: undefined,
        } as never),
      ).rejects.toMatchObject(refusal("mismatch", /projection/));
    },
  );

  test.each<[object, RegExp]>([
    [{ projection: "sparse", rank: 0 }, /"rank"/],
    [{ projection: "pca", rank: 0 }, /"rank"/],
    [{ projection: "gaussian", mask: 8 }, /"mask"/],
    [{ projection: "hadamard" }, /"projection"/],
  ])("refuses %j", async (options, words) => {
    await expect(buildGradientStore(pair.model, pair.train, folder(), options as never)).rejects.toMatchObject(
      refusal("invalid", words),
    );
  });
});
