// Nodes and weights of the path integral over α in 0–1.

export interface Quadrature {
  readonly nodes: Float64Array;
  readonly weights: Float64Array;
}

/** Gauss-Legendre on 0–1: exact for polynomials of degree 2n − 1. Roots of Pₙ by Newton's method. */
export function gaussLegendre(count: number): Quadrature {
  const nodes = new Float64Array(count);
  const weights = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let x = Math.cos((Math.PI * (count - i - 0.25)) / (count + 0.5));
    for (let step = 0; step < 100; step++) {
      const [value, slope] = legendre(count, x);
      const change = value / slope;
      x -= change;
      if (Math.abs(change) < 1e-16) break;
    }
    const slope = legendre(count, x)[1];
    nodes[i] = (1 + x) / 2;
    weights[i] = 1 / ((1 - x * x) * slope * slope);
  }
  return { nodes, weights };
}

/** The paper's: α = linspace(0, 1, n), both ends included, with equal weights 1/n. */
export function evenlySpaced(count: number): Quadrature {
  const nodes = Float64Array.from({ length: count }, (_, i) => (count === 1 ? 1 : i / (count - 1)));
  return { nodes, weights: new Float64Array(count).fill(1 / count) };
}

/** Pₙ(x) and its derivative. */
function legendre(n: number, x: number): [number, number] {
  let before = 1;
  let value = x;
  for (let k = 2; k <= n; k++) [before, value] = [value, ((2 * k - 1) * x * value - (k - 1) * before) / k];
  if (n === 1) return [x, 1];
  return [value, (n * (x * value - before)) / (x * x - 1)];
}
