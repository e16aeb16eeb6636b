// Arnoldi against the explicit Hessian's own eigenvectors.
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { refusal } from "../storage/refusal";
import { relativeDifference } from "../model/golden-cases";
import { dot, eigen, flat, type Matrix, rowsOf } from "./feature-algebra";
import { type GoldenPair, goldenPair, selections } from "./golden-pair";

let pair: GoldenPair;
beforeAll(async () => {
  pair = await goldenPair("float64");
});
afterAll(() => pair.model.close());

const run = (options: InfluenceOptions) =>
  influence(pair.model, pair.train, pair.queries, { inverse: "arnoldi", ...options });

interface Pairs {
  readonly values: number[];
  readonly vectors: Matrix;
}
const known = new Map<string, Pairs>();

/** The golden Hessian's eigenpairs, largest magnitude first. */
function eigenpairs(selection: string): Pairs {
  const found = known.get(selection) ?? computed(selection);
  known.set(selection, found);
  return found;
}

function computed(selection: string): Pairs {
  const tensor = pair.wanted[`hessian.${selection}`];
  const { values, vectors } = eigen(rowsOf(tensor.data, tensor.shape[0]));
  const order = values.map((_, i) => i).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  return { values: order.map((i) => values[i]), vectors: order.map((i) => vectors[i]) };
}

/** Gradients [instance, parameter] in the Hessian's order: module by module, weight then bias. */
function gradients(role: "train" | "queries", modules: readonly string[]): Matrix {
  const parts = modules.map((module) => pair.wanted[`${role}.gradient.${module}`]);
  return Array.from({ length: parts[0].shape[0] }, (_, i) =>
    parts.flatMap(({ data, shape }) => Array.from(data.slice(i * shape[1], (i + 1) * shape[1]))),
  );
}

/** The golden file's modules of the selections whose Hessian it holds. */
const stored = { head: ["score"], mlpLast: ["model.decoder.layers.1.fc1", "model.decoder.layers.1.fc2"] } as const;

function wantedScores(selection: keyof typeof stored, rank: number, damping: number): number[] {
  const { values, vectors } = eigenpairs(selection);
  const [queries, train] = [gradients("queries", stored[selection]), gradients("train", stored[selection])];
  return flat(
    queries.map((q) =>
      train.map((z) =>
        vectors
          .slice(0, rank)
          .reduce((sum, vector, k) => sum + (dot(q, vector) * dot(vector, z)) / (values[k] + damping), 0),
      ),
    ),
  );
}

const selectionsStored = ["head", "mlpLast"] as const;

test.each(selectionsStored.flatMap((selection) => [1, 3, 6].map((rank) => [selection, rank] as const)))(
  "of %s with %d pairs equals the explicit Hessian's own",
  async (selection, rank) => {
    const { scores, solver } = await run({ parameters: selections[selection], iterations: 80, rank, damping: 0.05 });
    expect(relativeDifference(scores, wantedScores(selection, rank, 0.05))).toBeLessThan(1e-5); // scores are float32
    expect(relativeDifference(solver.eigenvalues!, eigenpairs(selection).values.slice(0, rank))).toBeLessThan(1e-8);
    expect(solver.residual).toBeLessThan(1e-8);
  },
);

test.each(selectionsStored)("of %s over the whole Krylov space is the exact inverse on it", async (selection) => {
  const { values } = eigenpairs(selection);
  const strong = values.filter((value) => Math.abs(value) > 1e-10 * Math.abs(values[0])).length; // H of 6 instances has few directions
  const { scores, solver } = await run({ parameters: selections[selection], iterations: 144, rank: 144, damping: 0 });
  expect(solver.eigenvalues).toHaveLength(strong);
  expect(solver.iterations).toBeLessThanOrEqual(strong + 5); // and what rounding adds of the directions that H maps to 0
  // The weakest pairs, divided by λ near 0, would drown the others: compare with a λ that keeps all of them in sight.
  expect(scores.every(Number.isFinite)).toBe(true);
  const lifted = await run({ parameters: selections[selection], iterations: 144, rank: 144, damping: 0.05 });
  expect(relativeDifference(lifted.scores, wantedScores(selection, strong, 0.05))).toBeLessThan(1e-4);
});

test("a short iteration says how far it is, and its start depends on the seed", async () => {
  const short = await run({ parameters: "mlp", iterations: 6, rank: 4 });
  const other = await run({ parameters: "mlp", iterations: 6, rank: 4, seed: 1 });
  const long = await run({ parameters: "mlp", iterations: 60, rank: 4 });
  expect(short.solver.iterations).toBe(6);
  expect(short.solver.residual).toBeGreaterThan(1e-3);
  expect(long.solver.residual).toBeLessThan(short.solver.residual / 100);
  expect(other.scores).not.toEqual(short.scores);
  expect(short.provenance.options).toMatchObject({ inverse: "arnoldi", iterations: 6, rank: 4, seed: 42 });
});

test("in float32 is near it", async () => {
  const single = await goldenPair("float32");
  const { scores } = await influence(single.model, single.train, single.queries, {
    inverse: "arnoldi",
    parameters: "mlp",
    iterations: 60,
    rank: 5,
    damping: 0.05,
  });
  expect(
    relativeDifference(scores, (await run({ parameters: "mlp", iterations: 60, rank: 5, damping: 0.05 })).scores),
  ).toBeLessThan(1e-3); // Hessian products in float32
  single.model.close();
});

describe("refuses", () => {
  test("a λ that cancels an eigenvalue", async () => {
    const negative = eigenpairs("mlpLast").values.find((value) => value < 0)!;
    await expect(
      run({ parameters: selections["mlpLast"], iterations: 80, rank: 144, damping: -negative }),
    ).rejects.toMatchObject(refusal("invalid", /"damping"/));
  });

  test("a Krylov space beyond the budget", async () => {
    await expect(run({ parameters: "mlp", iterations: 100, memory: "1 MB" })).rejects.toMatchObject(
      refusal("memory", /"iterations"/),
    );
  });
});
