// The instance test: does a model tuned on the most influential instances alone do what the model tuned on all does?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, InstanceAttribution, Provenance } from "../../types/results";
import { globalRanking } from "../alignment/global-ranking";
import { selectInstances } from "../data/instances";
import { AttributionError, expected } from "../errors";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { evaluate } from "../model/evaluate";
import { fineTune, type FineTuneOptions } from "../model/fine-tune";
import { checkLosses } from "../model/fit";
import { libtorchVersion } from "../native";
import { onlyKnown } from "../options";
import { provenance } from "../provenance";
import { createRandom, sampleWithout } from "../random";
import { requireInstanceAttribution } from "../results/require";
import { bootstrapMean } from "../statistics";

export type Subset = "most" | "least" | "random";

export interface FineTuningTestOptions extends BatchOptions {
  /** Shares of the training set. @default [0.1, 0.3, 0.5, 0.7, 0.9] */
  readonly fractions?: readonly number[];
  /** @default ["most", "least", "random"] */
  readonly subsets?: readonly Subset[];
  /** One fine-tuning per seed. @default [42, 60, 73] */
  readonly seeds?: readonly number[];
  /** How each model is tuned; its seed is the test's. */
  readonly fineTune?: Omit<FineTuneOptions, "seed" | "signal" | "onProgress" | "checkpoints" | "optimizerState">;
}

export interface FineTuningRun {
  readonly subset: Subset | "all";
  readonly fraction: number;
  readonly seed: number;
  readonly instances: number;
  /** Share of right predictions on the test instances. */
  readonly accuracy: number;
  /** Share of predictions equal to those of the model tuned on everything with the same seed. */
  readonly agreement: number;
}

export interface FineTuningPoint {
  readonly subset: Subset | "all";
  readonly fraction: number;
  /** Means over seeds with a bootstrap interval. */
  readonly accuracy: Estimate;
  readonly agreement: Estimate;
}

export interface FineTuningResult {
  readonly test: "fineTuning";
  readonly runs: readonly FineTuningRun[];
  readonly points: readonly FineTuningPoint[];
  readonly provenance: Provenance;
}

/**
 * Fine-tunes the base model on the most influential, least influential and random shares of the training set, for each seed, and
 * compares accuracy and predictions with the model tuned on everything. Instances are ranked over all queries by their sum of
 * ranks. Source: Yu et al. 2024 (who find that random shares often win). Cost: 1 + subsets × fractions fine-tunings per seed.
 * @example const { points } = await fineTuningTest(base, train, test, ia, { fractions: [0.1, 0.5], fineTune: { epochs: 2 } });
 */
export async function fineTuningTest(
  base: Model,
  train: Instances,
  test: Instances,
  attribution: InstanceAttribution,
  options: FineTuningTestOptions = {},
): Promise<FineTuningResult> {
  onlyKnown(options, [...batchOptionNames, "fractions", "subsets", "seeds", "fineTune"]);
  const {
    fractions = [0.1, 0.3, 0.5, 0.7, 0.9],
    subsets = ["most", "least", "random"],
    seeds = [42, 60, 73],
  } = options;
  checkLists(fractions, subsets, seeds);
  checkLosses(base, train, "train");
  checkLosses(base, test, "test");
  requireInstanceAttribution(attribution, "attribution");
  if (attribution.train !== train.size || attribution.trainIds.some((id, i) => id !== train.ids[i])) {
    throw new AttributionError(
      "mismatch",
      "The attribution does not rank these training instances: both must have the same ids in the same order",
    );
  }
  const order = (await globalRanking(attribution, { signal: options.signal })).map(({ index }) => index);
  const jobs = seeds.flatMap((seed) => [
    { subset: "all" as const, fraction: 1, seed },
    ...subsets.flatMap((subset) => fractions.map((fraction) => ({ subset, fraction, seed }))),
  ]);
  const runs: FineTuningRun[] = [];
  let reference: Int32Array = new Int32Array(0);
  for (const [done, { subset, fraction, seed }] of jobs.entries()) {
    await options.onProgress?.({ done, total: jobs.length, stage: "fine-tuning test" });
    const chosen = subset === "all" ? train : selectInstances(train, subsetOf(subset, fraction, order, seed));
    const { predictions, accuracy } = await tuneAndTest(base, chosen, test, seed, options);
    if (subset === "all") reference = predictions;
    const agreement =
      predictions.reduce((sum, prediction, i) => sum + Number(prediction === reference[i]), 0) / predictions.length;
    runs.push(Object.freeze({ subset, fraction, seed, instances: chosen.size, accuracy, agreement }));
  }
  await options.onProgress?.({ done: jobs.length, total: jobs.length, stage: "fine-tuning test" });
  const shown = {
    fractions,
    subsets,
    seeds,
    fineTune: { ...options.fineTune, evaluation: options.fineTune?.evaluation?.hash ?? null },
    attribution: attribution.provenance.method,
  };
  return Object.freeze({
    test: "fineTuning",
    runs: Object.freeze(runs),
    points: Object.freeze(pointsOf(runs)),
    provenance: provenance({
      method: "fineTuningTest",
      options: shown,
      model: base,
      data: { train, test },
      libtorch: libtorchVersion(),
    }),
  });
}

function checkLists(fractions: readonly number[], subsets: readonly Subset[], seeds: readonly number[]): void {
  const filled = (list: unknown): boolean => Array.isArray(list) && list.length > 0;
  if (!filled(fractions) || !fractions.every((f) => typeof f === "number" && f > 0 && f < 1))
    throw expected("fractions", "a list of shares between 0 and 1", fractions);
  if (!filled(subsets) || !subsets.every((s) => ["most", "least", "random"].includes(s)))
    throw expected("subsets", 'a list of "most", "least" and "random"', subsets);
  if (!filled(seeds) || !seeds.every((s) => Number.isSafeInteger(s) && s >= 0))
    throw expected("seeds", "a list of whole numbers", seeds);
}

function subsetOf(subset: Subset, fraction: number, order: readonly number[], seed: number): readonly number[] {
  const count = Math.max(1, Math.round(order.length * fraction));
  if (subset === "random")
    return [...sampleWithout(order.length, count, createRandom(seed, count))].sort((a, b) => a - b);
  return (subset === "most" ? order.slice(0, count) : order.slice(-count)).sort((a, b) => a - b);
}

async function tuneAndTest(
  base: Model,
  chosen: Instances,
  test: Instances,
  seed: number,
  { signal, batchTokens, fineTune: how }: FineTuningTestOptions,
): Promise<{ predictions: Int32Array; accuracy: number }> {
  const tuned = await fineTune(base, chosen, { ...how, seed, signal });
  try {
    return await evaluate(tuned, test, { signal, batchTokens });
  } finally {
    tuned.close();
  }
}

function pointsOf(runs: readonly FineTuningRun[]): FineTuningPoint[] {
  const groups = new Map<string, FineTuningRun[]>();
  for (const run of runs) {
    const key = `${run.subset} ${run.fraction}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map((group) =>
    Object.freeze({
      subset: group[0].subset,
      fraction: group[0].fraction,
      accuracy: bootstrapMean(group.map(({ accuracy }) => accuracy)),
      agreement: bootstrapMean(group.map(({ agreement }) => agreement)),
    }),
  );
}
