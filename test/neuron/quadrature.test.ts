import { evenlySpaced, gaussLegendre } from "../../lib/neuron/quadrature";
import { goldenTensors } from "../model/golden-tensors";

/** A few roundings of doubles. */
const rounding = 1e-13;
const integral = ({ nodes, weights }: { nodes: Float64Array; weights: Float64Array }, f: (x: number) => number) =>
  nodes.reduce((sum, x, i) => sum + weights[i] * f(x), 0);

describe("Gauss-Legendre", () => {
  test.each([1, 2, 3, 5, 20, 64])(
    "with %i nodes is exact for polynomials of degree 2n − 1, and for none above",
    (count) => {
      const rule = gaussLegendre(count);
      for (let degree = 0; degree <= 2 * count - 1; degree++)
        expect(Math.abs(integral(rule, (x) => x ** degree) - 1 / (degree + 1))).toBeLessThan(rounding);
      if (count <= 5)
        expect(Math.abs(integral(rule, (x) => x ** (2 * count)) - 1 / (2 * count + 1))).toBeGreaterThan(1e-9);
    },
  );

  test.each([1, 7, 100, 1000])(
    "with %i nodes has rising nodes within 0–1 and positive, symmetric weights that sum to 1",
    (count) => {
      const { nodes, weights } = gaussLegendre(count);
      nodes.forEach((x, i) => {
        expect(x > (i === 0 ? 0 : nodes[i - 1]) && x < 1 && weights[i] > 0).toBe(true);
        expect(Math.abs(x + nodes[count - 1 - i] - 1)).toBeLessThan(rounding);
        expect(Math.abs(weights[i] - weights[count - 1 - i])).toBeLessThan(rounding);
      });
      expect(Math.abs(weights.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-11);
    },
  );

  test("equals numpy's", async () => {
    const wanted = await goldenTensors("neuron", "gpt2.safetensors");
    const { nodes, weights } = gaussLegendre(20);
    nodes.forEach((x, i) => expect(Math.abs(x - wanted["nodes"].data[i])).toBeLessThan(rounding));
    weights.forEach((w, i) => expect(Math.abs(w - wanted["weights"].data[i])).toBeLessThan(rounding));
  });
});

test("the paper's nodes are evenly spaced, both ends included, with equal weights", () => {
  expect(Array.from(evenlySpaced(5).nodes)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect(Array.from(evenlySpaced(5).weights)).toEqual([0.2, 0.2, 0.2, 0.2, 0.2]);
  expect(Array.from(evenlySpaced(1).nodes)).toEqual([1]);
});
