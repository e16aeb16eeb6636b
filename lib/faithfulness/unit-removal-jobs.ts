// The trainings of a unit removal curve: which instances each method, and each random draw, takes out or doubles.
import type { Instances } from "../../types/data";
import type { Quantity } from "../../types/quantity";
import type { InstanceAttribution } from "../../types/results";
import { AttributionError, expected } from "../errors";
import { integer, oneOf, seedOf } from "../options";
import { descendingOrder } from "../ordering";
import { createRandom, sampleWithout } from "../random";
import { rowScores } from "../results/top";
import { checkRanks, retrainingNames, type RetrainingOptions, seedsOf } from "./retraining";

export type UnitRemovalChange = "removed" | "doubled";

export interface UnitRemovalCurveOptions extends Omit<RetrainingOptions, "seeds"> {
  /** The quantity that is read after each training: a unit's mean activation on the queries, a head's attention, a logit. */
  readonly of: Quantity;
  /** One training per change, share and seed. @default [42, 60, 73] */
  readonly seeds?: readonly number[];
  /** Shares of the training set that are changed. @default [0.01, 0.05, 0.1] */
  readonly fractions?: readonly number[];
  /** Whether the share is left out, or a second copy of it put in. @default ["removed", "doubled"] */
  readonly changes?: readonly UnitRemovalChange[];
  /**
   * "rows": the instances go, or come twice, so that batches and steps change too. "weight": the factor of their losses is 0 or 2 in
   * the same batches, which leaves out the chance of another order.
   * @default "rows"
   */
  readonly by?: "rows" | "weight";
  /** Random shares beside each, for each seed. @default 1 */
  readonly controls?: number;
  /** Of the random shares and the intervals. @default 42 */
  readonly seed?: number;
}

export const unitRemovalNames = [...retrainingNames, "of", "fractions", "changes", "by", "controls", "seed"] as const;

export interface Plan {
  readonly seeds: readonly number[];
  readonly fractions: readonly number[];
  readonly changes: readonly UnitRemovalChange[];
  readonly by: "rows" | "weight";
  readonly controls: number;
  readonly seed: number;
}

export interface Ranked {
  readonly name: string;
  readonly order: Int32Array;
}

/** One training: on everything, or with a share changed; the share is a method's or a random draw's. */
export interface Job {
  readonly run: number;
  readonly change: UnitRemovalChange | "none";
  readonly fraction: number;
  readonly by: Plan["by"];
  /** Of the method, or of the draw; "" on everything. */
  readonly name: string;
  readonly chosen: Int32Array;
}

export function planOf(
  given: Readonly<Record<string, unknown>>,
  { fractions = [0.01, 0.05, 0.1], changes = ["removed", "doubled"], seeds, fineTune: how }: UnitRemovalCurveOptions,
  train: Instances,
): Plan {
  const filled = (list: unknown): boolean => Array.isArray(list) && list.length > 0;
  if (
    !filled(fractions) ||
    !fractions.every((f) => typeof f === "number" && f > 0 && countOf(f, train.size) < train.size)
  )
    throw expected("fractions", "a list of shares above 0 that leave at least one instance", fractions);
  if (!filled(changes) || !changes.every((change) => change === "removed" || change === "doubled"))
    throw expected("changes", 'a list of "removed" and "doubled"', changes);
  if ((how as { instanceWeights?: unknown } | undefined)?.instanceWeights !== undefined)
    throw new AttributionError("unsupported", 'The test itself weighs the instances: leave "instanceWeights" out');
  return {
    seeds: seedsOf(seeds ?? [42, 60, 73]),
    fractions: [...new Set(fractions)],
    changes: [...new Set(changes)],
    by: oneOf(given, "by", "rows", ["rows", "weight"]),
    controls: integer(given, "controls", 1, 1, 1000),
    seed: seedOf(given),
  };
}

export function ordersOf(
  attributions: Readonly<Record<string, InstanceAttribution>>,
  train: Instances,
  queries: Instances,
): Ranked[] {
  const isRecord = typeof attributions === "object" && attributions !== null && !("kind" in attributions);
  if (!isRecord || Object.keys(attributions).length === 0)
    throw expected(
      "attributions",
      'an object of InstanceAttributions by name, e.g. { "EK-FAC": scores }',
      attributions,
    );
  return Object.entries(attributions).map(([name, attribution]) => {
    checkRanks(attribution, train, queries);
    const sums = new Float64Array(train.size);
    for (let query = 0; query < queries.size; query++)
      rowScores(attribution, query).forEach((score, i) => (sums[i] += score));
    return { name, order: descendingOrder(sums) };
  });
}

export const countOf = (fraction: number, size: number): number => Math.max(1, Math.round(fraction * size));
export const drawName = (draw: number): string => `\0${draw}`; // no method's name

export function jobsOf(
  { fractions, changes, by, controls, seed }: Plan,
  ranked: readonly Ranked[],
  size: number,
  run: number,
): Job[] {
  const jobs: Job[] = [{ run, change: "none", fraction: 0, by, name: "", chosen: new Int32Array(0) }];
  for (const fraction of fractions) {
    const count = countOf(fraction, size);
    const sets = [
      ...ranked.map(({ name, order }) => ({ name, chosen: order.slice(0, count) })),
      ...Array.from({ length: controls }, (_, draw) => ({
        name: drawName(draw),
        chosen: sampleWithout(size, count, createRandom(seed, run, draw, count)),
      })),
    ];
    for (const change of changes) jobs.push(...sets.map((set) => ({ run, change, fraction, by, ...set })));
  }
  return jobs;
}

/** [instance] factors of the losses. */
export function weightsOf(size: number, chosen: Int32Array, change: Job["change"]): Float64Array {
  const weights = new Float64Array(size).fill(1);
  for (const index of chosen) weights[index] = change === "removed" ? 0 : 2;
  return weights;
}

/** All instances in their order, those chosen left out or twice. */
export function rowsOf(size: number, chosen: Int32Array, change: Job["change"]): number[] {
  const set = new Set(chosen);
  const copies = (index: number): number => (set.has(index) ? (change === "removed" ? 0 : 2) : 1);
  return Array.from({ length: size }, (_, index) => new Array<number>(copies(index)).fill(index)).flat();
}
