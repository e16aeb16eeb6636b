// The entries a row chooses: its k highest scores, without those that were never scored. The common ground of the analyses.
// A score of 0 or −∞ says "not attributed" (a neuron no instance brought, an instance that shares none) and is never chosen.
import { everyRow } from "../pacing";
import { topIndices } from "../results/ranking";
import { bestInstances, rowScores, scoresAt } from "../results/top";
import type { CallOptions } from "../../types/common";
import type { Attribution } from "../../types/results";
import type { TopInstances } from "../../types/store";

export interface ChoiceOptions extends CallOptions {
  /** Highest scores of a row that count. @default 10 */
  readonly k?: number;
}

export const choiceOptionNames = ["k", "signal", "onProgress"] as const satisfies readonly (keyof ChoiceOptions)[];

/** Scores of instances or neurons, or the best instances only. */
export type Scored = Attribution | TopInstances;

/** Per row its chosen entries, best first. "mismatch" where a TopInstances holds fewer than k. */
export async function choicesOf(attribution: Scored, k: number, call: CallOptions): Promise<Int32Array[]> {
  const choices: Int32Array[] = [];
  await everyRow(rowsOf(attribution), "choices", call, (row) => {
    choices.push(choiceOf(attribution, row, k));
  });
  return choices;
}

function choiceOf(attribution: Scored, row: number, k: number): Int32Array {
  const best =
    attribution.kind === "neurons" ? topIndices(rowScores(attribution, row), k) : bestInstances(attribution, row, k);
  const scores =
    attribution.kind === "neurons"
      ? Float32Array.from(best, (index) => rowScores(attribution, row)[index])
      : scoresAt(attribution, row, best);
  return best.filter((_, at) => scores[at] !== 0 && scores[at] !== -Infinity);
}

function rowsOf(attribution: Scored): number {
  return attribution.kind === "neurons" ? attribution.instances : attribution.queries;
}

/** Entries of a row: training instances, or units of all layers. */
export function widthOf(attribution: Scored): number {
  return attribution.kind === "neurons" ? attribution.layers * attribution.units : attribution.train;
}

export function sharedCount(a: Int32Array, b: Int32Array): number {
  const inA = new Set(a);
  return b.reduce((count, index) => count + (inA.has(index) ? 1 : 0), 0);
}

/** Entries that both choose, over the larger choice; 0 where neither chooses. */
export function sharedShare(a: Int32Array, b: Int32Array): number {
  return a.length + b.length === 0 ? 0 : sharedCount(a, b) / Math.max(a.length, b.length);
}
