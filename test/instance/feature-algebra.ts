// Dense linear algebra in doubles, and features of instances: what the tests of gradient stores compare with.
import { handleOf } from "../../lib/model/model";
import { native, runNative } from "../../lib/native";
import { modulesOf, type Parameters } from "../../lib/instance/gradients/parameters";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeFeatureSettings } from "../../types/native";

export type Matrix = number[][];

export interface Features {
  readonly rows: Matrix;
  readonly losses: Float32Array;
  /** First feature of each module, and the width. */
  readonly offsets: Int32Array;
}

export function settingsFor(
  model: Model,
  parameters: Parameters,
  changes: Partial<NativeFeatureSettings> = {},
): NativeFeatureSettings {
  return {
    modules: modulesOf(model.architecture, parameters),
    rank: 0,
    projection: "gaussian",
    seed: 42,
    reduction: "sum",
    mask: 0,
    bases: new Float32Array(0),
    ...changes,
  };
}

export async function featuresOf(
  model: Model,
  instances: Instances,
  settings: NativeFeatureSettings,
  batchTokens = 4096,
): Promise<Features> {
  const { features, losses } = await runNative((control) =>
    native().gradientFeatures(handleOf(model), instances, { settings, batchTokens }, control),
  );
  return {
    rows: rowsOf(features, instances.size),
    losses,
    offsets: native().featureOffsets(handleOf(model), settings),
  };
}

export function rowsOf(values: ArrayLike<number>, rows: number): Matrix {
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => Array.from({ length: width }, (_, i) => values[row * width + i]));
}

export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i], 0);
export const transposed = (a: Matrix): Matrix => a[0].map((_, column) => a.map((row) => row[column]));
export const product = (a: Matrix, b: Matrix): Matrix => {
  const columns = transposed(b);
  return a.map((row) => columns.map((column) => dot(row, column)));
};
export const flat = (a: Matrix): number[] => a.flat();

/** A⁻¹ b for each row b of `right`, by Gauss-Jordan elimination with pivots. */
export function solved(a: Matrix, right: Matrix): Matrix {
  const n = a.length;
  const work = a.map((row, i) => [...row, ...right.map((b) => b[i])]);
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column; row < n; row++) if (Math.abs(work[row][column]) > Math.abs(work[pivot][column])) pivot = row;
    [work[column], work[pivot]] = [work[pivot], work[column]];
    for (let row = 0; row < n; row++) {
      if (row === column) continue;
      const factor = work[row][column] / work[column][column];
      if (factor === 0) continue;
      for (let i = column; i < work[row].length; i++) work[row][i] -= factor * work[column][i];
    }
  }
  return right.map((_, k) => work.map((row, i) => row[n + k] / row[i]));
}

/** Σ g gᵀ over rows, with λ = damping · mean diagonal added to the diagonal. */
export function dampedMoments(rows: Matrix, damping: number, over: number): Matrix {
  const width = rows[0].length;
  const sums = Array.from({ length: width }, (_, i) =>
    Array.from({ length: width }, (_, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0) / over),
  );
  const trace = sums.reduce((sum, row, i) => sum + row[i], 0);
  sums.forEach((row, i) => {
    row[i] += (damping * trace) / width;
  });
  return sums;
}

/** Eigenvalues and eigenvectors (rows) of a symmetric matrix, by Jacobi's rotations. */
export function eigen(matrix: Matrix): { values: number[]; vectors: Matrix } {
  const n = matrix.length;
  const a = matrix.map((row) => [...row]);
  const vectors = a.map((_, i) => a.map((__, j) => Number(i === j)));
  const size = flat(a).reduce((sum, x) => sum + x * x, 0);
  const isDiagonal = () =>
    a.reduce((sum, row, i) => sum + row.reduce((part, x, j) => part + (i === j ? 0 : x * x), 0), 0) <= 1e-30 * size;
  for (let sweep = 0; sweep < 60 && !isDiagonal(); sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p][q] === 0) continue;
        const angle = Math.atan2(2 * a[p][q], a[p][p] - a[q][q]) / 2;
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        const turn = (x: number, y: number): [number, number] => [c * x + s * y, c * y - s * x];
        for (const row of a) [row[p], row[q]] = turn(row[p], row[q]);
        for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = turn(a[p][k], a[q][k]);
        for (let k = 0; k < n; k++) [vectors[p][k], vectors[q][k]] = turn(vectors[p][k], vectors[q][k]);
      }
    }
  }
  return { values: a.map((row, i) => row[i]), vectors };
}
