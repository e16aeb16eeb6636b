// How much arithmetic a method needs, counted in forwards of its prompt: what a measured ratio is held against. Multiply-adds of
// the blocks' matrices and of attention; norms, activations and the three-class head are left out.
import type { Architecture } from "../types/architecture";

/** Multiply-adds of one token in one block that attends to `seen` positions. */
export function blockWork(a: Architecture, seen: number): number {
  const attention = a.heads * a.headSize;
  const projections =
    a.hidden * (2 * attention + 2 * a.keyValueHeads * a.headSize) + (a.gated ? 3 : 2) * a.hidden * a.intermediate;
  return projections + 2 * attention * seen;
}

/** One forward of a prompt, every position attending to itself and those before. */
export function promptWork(a: Architecture, tokens: number): number {
  return a.layers * tokens * blockWork(a, (tokens + 1) / 2);
}

/** `count` one-token rows that enter behind the MLP of every layer in turn and go through the blocks above it. */
export function rowsAboveEachLayer(a: Architecture, tokens: number, count: number): number {
  return count * ((a.layers * (a.layers - 1)) / 2) * blockWork(a, tokens);
}

/** Forwards that integrated gradients need: the prompt's own, and layers × nodes rows forward and input backward. */
export function gradientForwards(a: Architecture, tokens: number, nodes: number): number {
  return 1 + (2 * rowsAboveEachLayer(a, tokens, nodes)) / promptWork(a, tokens);
}

/** Forwards that ablating every neuron alone needs: the prompt's own, and a row per neuron. */
export function ablationForwards(a: Architecture, tokens: number): number {
  return 1 + rowsAboveEachLayer(a, tokens, a.intermediate) / promptWork(a, tokens);
}

/** Forwards that `rows` rows through all blocks need. */
export function rowForwards(a: Architecture, tokens: number, rows: number): number {
  return 1 + (rows * a.layers * blockWork(a, tokens)) / promptWork(a, tokens);
}

/** Multiply-adds of a plain training step over rows of one length, head included: a forward, and a backward of twice its size. */
export function trainingWork(a: Architecture, tokens: number): number {
  return 3 * (promptWork(a, tokens) + tokens * a.hidden * a.vocabulary);
}

/** Those of projected gradient features: a forward, a backward to inputs that ends in the lowest block, both sides projected. */
export function featureWork(a: Architecture, tokens: number, rank: number): number {
  const [query, keyValue] = [a.heads * a.headSize, a.keyValueHeads * a.headSize];
  const attention = a.queryKeyValue === "separate" ? [query, keyValue, keyValue] : [query + 2 * keyValue];
  const outputs = [...attention, ...Array<number>(a.gated ? 2 : 1).fill(a.intermediate)]; // of the modules that read the residual
  const projected =
    outputs.reduce((sum, output) => sum + a.hidden + output, 0) + query + a.hidden + a.intermediate + a.hidden;
  const lowest = a.hidden * outputs.reduce((sum, output) => sum + output, 0);
  return (2 * trainingWork(a, tokens)) / 3 + tokens * (a.layers * rank * projected - lowest);
}

export interface SimilarityWork {
  readonly gradients: number;
  /** Of token pairs. */ readonly products: number;
  /** Instead of them: each training instance's dense gradient, times every query's. */ readonly dense: number;
}

/** Multiply-adds of exact gradient similarity over the MLPs' weights: forward and input backward of every token, then the products. */
export function similarityWork(
  a: Architecture,
  trainTokens: number,
  queryTokens: number,
  train: number,
  queries: number,
): SimilarityWork {
  const seen = (trainTokens + queryTokens) / (train + queries) / 2;
  const sides = a.layers * (a.gated ? 3 : 2) * (a.hidden + a.intermediate);
  const weights = a.layers * (a.gated ? 3 : 2) * a.hidden * a.intermediate;
  return {
    gradients: 2 * a.layers * (trainTokens + queryTokens) * blockWork(a, seen),
    products: trainTokens * queryTokens * sides,
    dense: weights * (trainTokens + queries * train),
  };
}
