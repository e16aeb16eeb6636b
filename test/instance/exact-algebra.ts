// Damped inverses in fixed-point numbers of 400 bits after the point: what scores in double are held against, whatever the condition.
import type { Matrix } from "./feature-algebra";

const bits = 400n;
type Fixed = bigint;

/** Exact for any double above 2^-200 of its last bit. */
const fixed = (x: number): Fixed => BigInt(x * 2 ** 200) << (bits - 200n);
const number = (x: Fixed): number => Number(x) / 2 ** 400;
const times = (a: Fixed, b: Fixed): Fixed => (a * b) >> bits;
const over = (a: Fixed, b: Fixed): Fixed => (a << bits) / b;
const sum = (values: readonly Fixed[]): Fixed => values.reduce((total, value) => total + value, 0n);
const dot = (a: readonly Fixed[], b: readonly Fixed[]): Fixed => sum(a.map((value, i) => times(value, b[i])));

/** x A⁻¹ of each row x, by elimination; A is symmetric and positive definite. */
function solved(a: readonly (readonly Fixed[])[], right: readonly (readonly Fixed[])[]): Fixed[][] {
  const work = a.map((row, i) => [...row, ...right.map((x) => x[i])]);
  work.forEach((pivot, column) => {
    work.forEach((row, i) => {
      if (i === column || row[column] === 0n) return;
      const factor = over(row[column], pivot[column]);
      for (let k = column; k < row.length; k++) row[k] -= times(factor, pivot[k]);
    });
  });
  return right.map((_, k) => work.map((row, i) => over(row[a.length + k], row[i])));
}

export interface ExactScores {
  /** [query][row] x M g */
  readonly scores: Matrix;
  /** [query], [row]: x M x */
  readonly querySquares: number[];
  readonly rowSquares: number[];
  /** [query][feature] M x */
  readonly vectors: Matrix;
}

/** M = (H + λI)⁻¹, H the sum of g gᵀ over the rows divided by `divisor`, λ = damping · tr(H) / features. Rows and queries over their doubts. */
export function exactDamped(
  rows: Matrix,
  queries: Matrix,
  damping: number,
  divisor: number,
  doubts: { readonly rows?: readonly number[]; readonly queries?: readonly number[] } = {},
): ExactScores {
  const scaled = (x: Matrix, by?: readonly number[]) =>
    x.map((row, i) => row.map((value) => (by === undefined ? fixed(value) : over(fixed(value), fixed(by[i])))));
  const [g, q] = [scaled(rows, doubts.rows), scaled(queries, doubts.queries)];
  const width = rows[0].length;
  const columns = Array.from({ length: width }, (_, i) => g.map((row) => row[i]));
  const h = columns.map((a) => columns.map((b) => over(dot(a, b), fixed(divisor))));
  const lambda = over(times(fixed(damping), sum(h.map((row, i) => row[i]))), fixed(width));
  h.forEach((row, i) => (row[i] += lambda));
  const [ofQueries, ofRows] = [solved(h, q), solved(h, g)];
  return {
    scores: ofQueries.map((x) => g.map((row) => number(dot(x, row)))),
    querySquares: ofQueries.map((x, i) => number(dot(x, q[i]))),
    rowSquares: ofRows.map((x, i) => number(dot(x, g[i]))),
    vectors: ofQueries.map((x) => x.map(number)),
  };
}

export interface ExactDataInf {
  readonly scores: Matrix;
  readonly rowSquares: number[];
}

/** x M g with M = (1 / nλ) Σ_i [I − g_i g_iᵀ / (λ + ‖g_i‖²)], λ = damping · the mean of g². */
export function exactDataInf(rows: Matrix, queries: Matrix, damping: number): ExactDataInf {
  const [g, q] = [rows, queries].map((x) => x.map((row) => row.map(fixed)));
  const n = fixed(rows.length);
  const norms = g.map((row) => dot(row, row));
  const lambda = over(times(fixed(damping), sum(norms)), fixed(rows.length * rows[0].length));
  const product = (x: readonly Fixed[], z: readonly Fixed[]) => {
    const parts = g.map((row, i) => dot(x, z) - over(times(dot(x, row), dot(row, z)), lambda + norms[i]));
    return number(over(sum(parts), times(n, lambda)));
  };
  return { scores: q.map((x) => g.map((z) => product(x, z))), rowSquares: g.map((z) => product(z, z)) };
}
