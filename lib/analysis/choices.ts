// The entries a row chooses: its k highest scores, without those that were never scored. The common ground of the analyses.
// A score of 0 or −∞ says "not attributed" (a neuron no instance brought, an instance that shares none) and is never chosen.
import { expected } from "../errors";
import { topIndices } from "../results/ranking";
import { rowScores } from "../results/top";
import type { Attribution } from "../../types/results";

export interface ChoiceOptions {
  /** Highest scores of a row that count. @default 10 */
  readonly k?: number;
}

/** Per row its chosen entries, best first. */
export function choicesOf(attribution: Attribution, k: number): Int32Array[] {
  if (!Number.isInteger(k) || k < 1) throw expected("k", "a whole number of at least 1", k);
  return Array.from({ length: rowsOf(attribution) }, (_, row) => {
    const scores = rowScores(attribution, row);
    return topIndices(scores, k).filter((index) => scores[index] !== 0 && scores[index] !== -Infinity);
  });
}

export function rowsOf(attribution: Attribution): number {
  return attribution.kind === "instances" ? attribution.queries : attribution.instances;
}

/** Entries of a row: training instances, or units of all layers. */
export function widthOf(attribution: Attribution): number {
  return attribution.kind === "instances" ? attribution.train : attribution.layers * attribution.units;
}

export function sharedCount(a: Int32Array, b: Int32Array): number {
  const inA = new Set(a);
  return b.reduce((count, index) => count + (inA.has(index) ? 1 : 0), 0);
}

/** Entries that both choose, over the larger choice; 0 where neither chooses. */
export function sharedShare(a: Int32Array, b: Int32Array): number {
  return a.length + b.length === 0 ? 0 : sharedCount(a, b) / Math.max(a.length, b.length);
}
