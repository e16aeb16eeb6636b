// The cases of gradients, stores and growth once in small: that they run and agree, never how fast.
import { similarityWork } from "../../benchmarks/arithmetic";
import { measureSimilarity } from "../../benchmarks/cases/exact-similarity";
import { measureFeatures } from "../../benchmarks/cases/gradient-features";
import { measurePeers } from "../../benchmarks/cases/gradient-features-peers";
import { measureGrowth } from "../../benchmarks/cases/growth";
import { measureStoreQuery } from "../../benchmarks/cases/store-query";
import { straightLine } from "../../benchmarks/fit";
import { optTiny, pythiaTiny } from "../../benchmarks/shapes";
import { refusal } from "../storage/refusal";
import { describeNeeding, testNeeding, torch, variables } from "../needs";

const quiet = { quick: true, log: () => undefined };
const workload = { name: "4 × 9", lengths: [9, 9, 9, 9], batch: 2 };

describeNeeding(torch(), "a tiny case agrees with PyTorch and has a row for each contender", () => {
  test("gradient-features", async () => {
    const models = (["float32", "bfloat16"] as const).map((dtype) => ({
      name: `tiny ${dtype}`,
      shape: pythiaTiny,
      dtype,
    }));
    const { rows, notes, versions } = await measureFeatures(
      { models, workloads: [workload], rank: 4, rounds: 1 },
      quiet,
    ); // which refuses losses that differ
    expect(rows.map(({ group, name }) => [group, name.slice(0, 4)])).toEqual(
      models.flatMap(({ name }) => [
        [`${name}, 4 × 9`, "ours"],
        [`${name}, 4 × 9`, "trai"],
      ]),
    );
    expect(rows.every(({ median, note }) => median > 0 && /tokens\/s/.test(note))).toBe(true);
    expect(notes).toHaveLength(2);
    expect(versions).toHaveProperty("torch");
  });

  test("exact-similarity", async () => {
    const { rows, bars, notes } = await measureSimilarity(
      { shape: optTiny, train: 6, queries: 4, sample: 4, rounds: 1, budget: 64, measuresMemory: false },
      quiet,
    );
    expect(rows.map(({ name }) => name.slice(0, 3))).toEqual(["our", "one"]);
    expect(bars[1]).toMatchObject({ name: expect.stringContaining("float64"), holds: true });
    expect(bars[2].value).toBeGreaterThan(0);
    expect(notes[1]).toMatch(/multiply-adds for gradients/);
  });

  test("store-query", async () => {
    const settings = { rows: 2000, width: 90, queries: 3, top: 5, rounds: 2, block: 500, budgetMB: 64, apart: false };
    const { rows, notes } = await measureStoreQuery(settings, quiet); // which refuses scores that differ from those by hand
    expect(rows.map(({ group, repeats }) => [group, repeats])).toEqual([
      ["warm", 2],
      ["warm", 2],
    ]);
    expect(notes).toContainEqual(expect.stringContaining("cold was not measured"));
  });
});

const peerVariables = ["ATTRIBUTION_BERGSON_PYTHON", "ATTRIBUTION_DATTRI_PYTHON"] as const;
const peerSettings = {
  shape: pythiaTiny,
  dtypes: ["float32"],
  workloads: [workload],
  budgets: [32],
  rounds: 1,
} as const;

describe("gradient-features-peers", () => {
  const before = peerVariables.map((variable) => process.env[variable]);
  afterEach(() =>
    peerVariables.forEach((variable, i) => {
      if (before[i] === undefined) delete process.env[variable];
      else process.env[variable] = before[i];
    }),
  );

  test("without the peers measures ours alone, claims nothing and says how to name them", async () => {
    for (const variable of peerVariables) process.env[variable] = "/no/such/python";
    const { rows, bars, ratio, notes } = await measurePeers(peerSettings, quiet);
    expect(rows).toMatchObject([{ name: "ours", repeats: 1 }]);
    expect(rows[0].median).toBeGreaterThan(0);
    expect([bars, ratio]).toEqual([[], Number.NaN]);
    for (const variable of peerVariables) expect(notes).toContainEqual(expect.stringContaining(`${variable}=`));
  });

  testNeeding(variables(...peerVariables), "both peers take losses that are ours", async () => {
    const { rows, bars, notes, versions } = await measurePeers(peerSettings, quiet);
    expect(rows.map(({ name }) => name)).toEqual(["ours", "bergson", "dattri"]);
    expect(bars).toHaveLength(1);
    expect(notes).toHaveLength(2);
    expect(Object.keys(versions)).toEqual(["bergson", "dattri"]);
  });
});

describe("growth", () => {
  test("has a row per size and a line per series", async () => {
    const settings = {
      shape: pythiaTiny,
      tokens: 5,
      instances: [2, 4, 8],
      lengths: [3, 6, 12],
      rows: [500, 1000, 2000],
      queries: [2, 4, 8],
      rounds: 2,
    };
    const { rows, bars, notes, ratio } = await measureGrowth(settings, quiet);
    expect(new Set(rows.map(({ group }) => group)).size).toBe(6);
    expect(rows).toHaveLength(18);
    expect(rows.every(({ median, repeats, note }) => median > 0 && repeats === 2 && /off the line/.test(note))).toBe(
      true,
    );
    expect(bars).toHaveLength(12);
    expect(bars.every(({ value }) => Number.isFinite(value))).toBe(true);
    expect(notes).toHaveLength(7);
    expect(ratio).toBeGreaterThan(0);
  });

  test("a straight line is found with its start, and a parabola is told from it", () => {
    const sizes = [1, 2, 4, 8];
    const line = straightLine(
      sizes,
      sizes.map((n) => 3 + 2 * n),
    );
    expect([line.intercept, line.slope, line.r2]).toEqual([expect.closeTo(3), expect.closeTo(2), expect.closeTo(1)]);
    expect(Math.max(...line.residuals.map(Math.abs))).toBeLessThan(1e-12);
    const parabola = straightLine(
      sizes,
      sizes.map((n) => n * n),
    );
    expect(parabola.r2).toBeLessThan(0.99);
    expect(Math.max(...parabola.residuals.map(Math.abs))).toBeGreaterThan(0.1);
    expect(() => straightLine([1, 2], [1, 2])).toThrow(expect.objectContaining(refusal("invalid", /3 sizes/)));
  });
});

test("exact similarity's arithmetic counts gradients, token pairs and the dense way", () => {
  // One layer of 2 × 3 matrices without attention: 12 weights in two modules, sides of 5 each.
  const architecture = {
    layers: 1,
    hidden: 2,
    heads: 0,
    headSize: 0,
    keyValueHeads: 0,
    intermediate: 3,
    gated: false,
  } as never;
  expect(similarityWork(architecture, 10, 6, 5, 2)).toEqual({
    gradients: 2 * 16 * 12,
    products: 60 * 10,
    dense: 12 * (10 + 2 * 5),
  });
});
