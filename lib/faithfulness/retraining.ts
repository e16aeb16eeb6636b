// What the tests that tune models on parts of the training set share: one tuning, one reading of the queries, and its controls.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import { selectInstances } from "../data/instances";
import { AttributionError, expected } from "../errors";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { evaluate, type Evaluation } from "../model/evaluate";
import { fineTune, type FineTuneOptions } from "../model/fine-tune";
import { checkLosses } from "../model/fit";
import { requireInstanceAttribution } from "../results/require";

export interface RetrainingOptions extends BatchOptions {
  /** One fine-tuning per part and seed; outputs are their means. @default [42] */
  readonly seeds?: readonly number[];
  /** How each model is tuned; its seed is the test's. */
  readonly fineTune?: Omit<FineTuneOptions, "seed" | "signal" | "onProgress" | "checkpoints" | "optimizerState">;
}

export const retrainingNames = [...batchOptionNames, "seeds", "fineTune"] as const;

export function seedsOf(given: readonly number[] | undefined): readonly number[] {
  const seeds: unknown = given ?? [42];
  const isSeeds =
    Array.isArray(seeds) && seeds.length > 0 && seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0);
  if (!isSeeds) throw expected("seeds", "a list of whole numbers", seeds);
  return seeds as number[];
}

export function checkRanks(attribution: InstanceAttribution, train: Instances, queries: Instances): void {
  requireInstanceAttribution(attribution, "attribution");
  const isSame =
    attribution.train === train.size &&
    attribution.queries === queries.size &&
    attribution.trainIds.every((id, i) => id === train.ids[i]) &&
    attribution.queryIds.every((id, i) => id === queries.ids[i]);
  if (!isSame)
    throw new AttributionError(
      "mismatch",
      "The attribution is not of these queries and training instances: both must have the same ids in the same order",
    );
}

export function checkLabelled(base: Model, train: Instances, queries: Instances): void {
  checkLosses(base, train, "train");
  checkLosses(base, queries, "queries");
}

/** Tunes the base model on the chosen instances and reads the queries. */
export async function tuneAndRead(
  base: Model,
  train: Instances,
  chosen: ArrayLike<number>,
  queries: Instances,
  seed: number,
  { signal, batchTokens, fineTune: how }: RetrainingOptions,
): Promise<Evaluation> {
  const tuned = await fineTune(base, selectInstances(train, chosen), { ...how, seed, signal });
  try {
    return await evaluate(tuned, queries, { signal, batchTokens });
  } finally {
    tuned.close();
  }
}
