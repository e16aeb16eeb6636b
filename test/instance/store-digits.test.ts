// Digits of damped inverses over a store: at any damping, in any order of the rows, with rows that repeat, in row space and in feature space.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInstances, selectInstances } from "../../lib/data/instances";
import { breakdown } from "../../lib/instance/breakdown";
import { trakCheckpoints } from "../../lib/instance/checkpoints/trak-checkpoints";
import { dataInf } from "../../lib/instance/data-inf";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { selfInfluence } from "../../lib/instance/self-influence";
import { doubtsOf, nativeStoreOf } from "../../lib/instance/store/native-store";
import { queryFeatures } from "../../lib/instance/store/scores";
import type { GradientStoreOptions } from "../../lib/instance/store/options";
import { trak } from "../../lib/instance/trak";
import { native, runNative } from "../../lib/native";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { GradientStore } from "../../types/store";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { exactDamped, exactDataInf } from "./exact-algebra";
import { flat, type Matrix, rowsOf } from "./feature-algebra";
import { type GoldenPair, goldenPair } from "./golden-pair";

/** The bound: of the largest score, at every damping. Scores themselves are floats, 6e-8. */
const digits = 1e-6;
const dampings = [1, 1e-2, 1e-4, 1e-6, 1e-8];
const orders = {
  "as they are": [0, 1, 2, 3, 4, 5],
  permuted: [4, 2, 5, 0, 3, 1],
  repeated: [0, 1, 2, 0, 1, 1],
} as const;

let root: string;
let pair: GoldenPair;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attribution-digits-test-"));
  pair = await goldenPair("float32");
});
afterAll(async () => {
  pair.model.close();
  await rm(root, { recursive: true, force: true });
});

/** Six rows against so many features of a module. */
const spaces: Readonly<Record<string, GradientStoreOptions>> = {
  "row space": { parameters: "mlp", rank: 3 }, // 4 modules of 9 features
  "feature space": { parameters: ["layers.1.mlp.down"], rank: 2 }, // 4 features
};

interface Case {
  readonly store: GradientStore;
  readonly rows: Matrix;
  readonly queries: Matrix;
  readonly doubts: { readonly rows: number[]; readonly queries: number[] };
  /** Features of each module alone. */
  readonly modules: readonly { readonly rows: Matrix; readonly queries: Matrix }[];
}

let made = 0;
async function caseOf(model: Model, train: Instances, asked: Instances, options: GradientStoreOptions): Promise<Case> {
  const store = await buildGradientStore(model, train, join(root, String(made++)), {
    ...options,
    precision: "float32",
  });
  const features = await queryFeatures(model, asked, store);
  const all = { rows: Int32Array.from({ length: store.rows }, (_, i) => i) };
  const stored = await runNative((control) => native().storeRows(nativeStoreOf(store), all, control));
  const [rows, queries] = [rowsOf(stored, store.rows), rowsOf(features.features, asked.size)];
  const cut = (x: Matrix, begin: number, size: number) => x.map((row) => row.slice(begin, begin + size));
  return {
    store,
    rows,
    queries,
    doubts: {
      rows: Array.from(await doubtsOf(store)),
      queries: Array.from(features.losses, (loss) => Math.max(1e-6, -Math.expm1(-loss))),
    },
    modules: store.segments.map(({ begin, size }) => ({
      rows: cut(rows, begin, size),
      queries: cut(queries, begin, size),
    })),
  };
}

const summed = (parts: number[][]): number[] => parts.reduce((total, part) => total.map((value, i) => value + part[i]));

function exactTrak({ rows, queries, doubts }: Case, damping: number) {
  const exact = exactDamped(rows, queries, damping, 1, doubts);
  return {
    scores: exact.scores.flatMap((row) => row.map((score, z) => score * doubts.rows[z])),
    self: exact.rowSquares.map((square, z) => square * doubts.rows[z]),
  };
}

function exactGaussNewton({ modules, rows }: Case, damping: number) {
  const parts = modules.map((m) => exactDamped(m.rows, m.queries, damping, rows.length));
  const scores = summed(parts.map((part) => flat(part.scores)));
  const self = summed(parts.map((part) => part.rowSquares));
  const own = summed(parts.map((part) => part.querySquares));
  const cosines = scores.map((score, i) => score / Math.sqrt(own[Math.floor(i / rows.length)] * self[i % rows.length]));
  return { scores, self, cosines };
}

async function expectExact(own: Case, damping: number): Promise<void> {
  const { store } = own;
  const call = { damping };
  const trakExact = exactTrak(own, damping);
  expect(relativeDifference((await trak(pair.model, store, pair.queries, call)).scores, trakExact.scores)).toBeLessThan(
    digits,
  );
  expect(
    relativeDifference((await selfInfluence(store, { ...call, preconditioner: "trak" })).scores, trakExact.self),
  ).toBeLessThan(digits);
  const exact = exactGaussNewton(own, damping);
  const ask = async (similarity: "dot" | "cosine") =>
    (await projectedGaussNewton(pair.model, store, pair.queries, { ...call, similarity })).scores;
  expect(relativeDifference(await ask("dot"), exact.scores)).toBeLessThan(digits);
  expect(relativeDifference(await ask("cosine"), exact.cosines)).toBeLessThan(digits);
  expect(
    relativeDifference((await selfInfluence(store, { ...call, preconditioner: "gaussNewton" })).scores, exact.self),
  ).toBeLessThan(digits);
  const inf = own.modules.map((m) => exactDataInf(m.rows, m.queries, damping));
  expect(
    relativeDifference(
      (await dataInf(pair.model, store, pair.queries, call)).scores,
      summed(inf.map((part) => flat(part.scores))),
    ),
  ).toBeLessThan(digits);
  expect(
    relativeDifference(
      (await selfInfluence(store, { ...call, preconditioner: "dataInf" })).scores,
      summed(inf.map((part) => part.rowSquares)),
    ),
  ).toBeLessThan(digits);
}

const rowTokens = ({ tokens, rowOffsets }: Instances, row: number) =>
  tokens.slice(rowOffsets[row], rowOffsets[row + 1]);

describe.each(Object.keys(spaces))("in %s", (space) => {
  describe.each(Object.keys(orders) as (keyof typeof orders)[])("with rows %s", (order) => {
    let own: Case;
    beforeAll(async () => {
      own = await caseOf(pair.model, selectInstances(pair.train, orders[order]), pair.queries, spaces[space]);
    });

    test.each(dampings)("scores, cosines and self-influence at damping %d are those of exact algebra", (damping) =>
      expectExact(own, damping),
    );
  });
});

test("modules in row space and in feature space make one score", async () => {
  const labels = Array.from({ length: 18 }, (_, i) => i % 3);
  const rows = Array.from({ length: 18 }, (_, i) => rowTokens(pair.train, Math.floor(i / 3)));
  const train = createInstances({ kind: "classification", rows, labels });
  const own = await caseOf(pair.model, train, pair.queries, { parameters: ["finalNorm", "score"], rank: 0 });
  expect(own.store.segments.map(({ size }) => size > 18)).toEqual([false, true]);
  for (const damping of [1, 1e-4, 1e-8]) await expectExact(own, damping);
});

test("a training set in another order has the same scores, at every damping", async () => {
  const [first, second] = [orders["as they are"], orders.permuted];
  using model = await open("influence", { dtype: "float64" });
  for (const method of [trak, projectedGaussNewton, dataInf])
    for (const damping of dampings) {
      const options = { parameters: "mlp", rank: 3, damping } as const;
      const [one, other] = [
        (await method(model, selectInstances(pair.train, first), pair.queries, options)).scores,
        (await method(model, selectInstances(pair.train, second), pair.queries, options)).scores,
      ];
      const wanted = other.map((_, i) => one[Math.floor(i / 6) * 6 + second[i % 6]]);
      expect(relativeDifference(other, Array.from(wanted))).toBeLessThan(digits);
    }
});

test("a language model's rows of unequal length, and TRAK over checkpoints", async () => {
  using model = await open("llama");
  const checkpoint = { model, learningRate: 1 };
  const all = raggedInstances("causalLM", 7);
  const [train, asked] = [selectInstances(all, [0, 2, 3, 5]), selectInstances(all, [6, 3])];
  for (const order of [
    [0, 1, 2, 3],
    [3, 1, 0, 2],
  ]) {
    const own = await caseOf(model, selectInstances(train, order), asked, { rank: 2 });
    for (const damping of dampings) {
      const exact = exactTrak(own, damping);
      expect(relativeDifference((await trak(model, own.store, asked, { damping })).scores, exact.scores)).toBeLessThan(
        digits,
      );
      const checkpoints = await trakCheckpoints([checkpoint, checkpoint], [own.store, own.store], asked, { damping });
      expect(relativeDifference(checkpoints.scores, exact.scores)).toBeLessThan(digits);
    }
  }
});

test.each([1, 1e-4, 1e-8])("parts by module at damping %d are those of exact algebra", async (damping) => {
  const own = await caseOf(pair.model, pair.train, pair.queries, spaces["row space"]);
  const [queries, rows] = [own.queries, own.rows];
  const attribution = await trak(pair.model, own.store, pair.queries, { damping });
  const pairs = Array.from({ length: 18 }, (_, i) => [Math.floor(i / 6), i % 6] as const);
  const parts = (await breakdown(pair.model, own.store, pair.queries, attribution, { pairs })).pairs.flatMap((each) =>
    Array.from(each.parts),
  );
  const { vectors } = exactDamped(rows, queries, damping, 1, own.doubts);
  const wanted = pairs.flatMap(([q, z]) =>
    own.store.segments.map(({ begin, size }) => {
      let sum = 0;
      for (let i = begin; i < begin + size; i++) sum += vectors[q][i] * rows[z][i];
      return sum;
    }),
  );
  expect(relativeDifference(parts, wanted)).toBeLessThan(digits);
});

describe("memory", () => {
  test("TRAK of few rows takes the rows' products: a budget below features² bytes is enough", async () => {
    const own = await caseOf(pair.model, pair.train, pair.queries, { parameters: "linear", rank: 0 });
    const memory = 16 * own.store.width;
    expect(memory).toBeLessThan(own.store.width ** 2);
    const { scores } = await trak(pair.model, own.store, pair.queries, { memory });
    expect(relativeDifference(scores, (await trak(pair.model, own.store, pair.queries)).scores)).toBeLessThan(1e-7);
    await expect(trak(pair.model, own.store, pair.queries, { memory: 11 * own.store.width })).rejects.toMatchObject(
      refusal("memory", /raise "memory"/),
    );
  });

  test("modules whose matrices do not fit together are solved one after the other, with the same scores", async () => {
    const own = await caseOf(pair.model, pair.train, pair.queries, { parameters: "linear", rank: 2 });
    for (const similarity of ["dot", "cosine"] as const) {
      const ask = async (memory: number | string) =>
        (await projectedGaussNewton(pair.model, own.store, pair.queries, { similarity, memory })).scores;
      expect(relativeDifference(await ask(12 * own.store.width), Array.from(await ask("1 GB")))).toBeLessThan(1e-7);
    }
  });
});
