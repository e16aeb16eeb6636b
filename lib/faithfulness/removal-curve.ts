// Removal: is a prediction lost when the training instances that it is said to rest on are taken away?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, InstanceAttribution, Provenance } from "../../types/results";
import { expected } from "../errors";
import { selectInstances } from "../data/instances";
import { libtorchVersion } from "../native";
import { onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { createRandom, sampleWithout } from "../random";
import { descendingOrder } from "../ordering";
import { rowScores } from "../results/top";
import { bootstrapMean } from "../statistics";
import { checkLabelled, checkRanks, retrainingNames, type RetrainingOptions, seedsOf, tuneAndRead } from "./retraining";

export interface RemovalCurveOptions extends RetrainingOptions {
  /** How many of a query's most helpful instances are removed. @default [1, 5, 10, 20, 50] below the training set's size */
  readonly counts?: readonly number[];
  /** Of the random control and the intervals. @default 42 */
  readonly seed?: number;
}

/** Means over queries and seeds, against the model tuned on everything with the same seed. */
export interface RemovalPoint {
  readonly count: number;
  /** Rise of the query's loss, nats. */
  readonly lossRise: Estimate;
  /** Share of changed predictions. */
  readonly changedPredictions: Estimate;
  readonly randomLossRise: Estimate;
  readonly randomChangedPredictions: Estimate;
}

export interface RemovalCurve {
  readonly test: "removal";
  readonly points: readonly RemovalPoint[];
  readonly provenance: Provenance;
}

/**
 * For each query removes its most helpful training instances, tunes the base model on the rest and reads the query's loss; beside it
 * as many random ones. Source: Ilyas et al. 2022 (brittleness). Cost: (1 + 2 × counts × queries) × seeds fine-tunings: give few queries.
 * @example const { points } = await removalCurve(base, train, queries, influences, { counts: [10, 50], seeds: [1, 2] });
 */
export async function removalCurve(
  base: Model,
  train: Instances,
  queries: Instances,
  attribution: InstanceAttribution,
  options: RemovalCurveOptions = {},
): Promise<RemovalCurve> {
  const given = onlyKnown(options, [...retrainingNames, "counts", "seed"]);
  checkLabelled(base, train, queries);
  checkRanks(attribution, train, queries);
  const [seeds, seed] = [seedsOf(options.seeds), seedOf(given)];
  const counts = countsOf(options.counts, train.size);
  const all = Array.from({ length: train.size }, (_, i) => i);
  const total = seeds.length * (1 + 2 * counts.length * queries.size);
  let done = 0;
  const read = async (removed: ArrayLike<number>, of: Instances, run: number) => {
    await options.onProgress?.({ done: done++, total, stage: "removal" });
    const gone = new Set(Array.from(removed));
    return tuneAndRead(
      base,
      train,
      all.filter((i) => !gone.has(i)),
      of,
      run,
      options,
    );
  };
  const changes = counts.map(() => ({
    rises: [] as number[],
    changed: [] as number[],
    randomRises: [] as number[],
    randomChanged: [] as number[],
  }));
  for (const run of seeds) {
    const whole = await read([], queries, run);
    for (let query = 0; query < queries.size; query++) {
      const [order, one] = [descendingOrder(rowScores(attribution, query)), selectInstances(queries, [query])];
      for (const [at, count] of counts.entries()) {
        const best = await read(order.subarray(0, count), one, run);
        const random = await read(sampleWithout(train.size, count, createRandom(seed, query, count)), one, run);
        changes[at].rises.push(best.losses[0] - whole.losses[query]);
        changes[at].changed.push(Number(best.predictions[0] !== whole.predictions[query]));
        changes[at].randomRises.push(random.losses[0] - whole.losses[query]);
        changes[at].randomChanged.push(Number(random.predictions[0] !== whole.predictions[query]));
      }
    }
  }
  await options.onProgress?.({ done: total, total, stage: "removal" });
  const points = counts.map((count, at) =>
    Object.freeze({
      count,
      lossRise: bootstrapMean(changes[at].rises, { seed }),
      changedPredictions: bootstrapMean(changes[at].changed, { seed }),
      randomLossRise: bootstrapMean(changes[at].randomRises, { seed }),
      randomChangedPredictions: bootstrapMean(changes[at].randomChanged, { seed }),
    }),
  );
  const shown = {
    counts,
    seeds,
    seed,
    fineTune: { ...options.fineTune, evaluation: options.fineTune?.evaluation?.hash ?? null },
    attribution: attribution.provenance.method,
  };
  return Object.freeze({
    test: "removal",
    points: Object.freeze(points),
    provenance: provenance({
      method: "removalCurve",
      options: shown,
      model: base,
      data: { train, queries },
      libtorch: libtorchVersion(),
    }),
  });
}

function countsOf(given: unknown, size: number): readonly number[] {
  const counts = given ?? [1, 5, 10, 20, 50].filter((count) => count < size);
  const isCounts =
    Array.isArray(counts) &&
    counts.length > 0 &&
    counts.every((count) => Number.isInteger(count) && count >= 1 && count < size);
  if (!isCounts) throw expected("counts", `a list of whole numbers within 1–${size - 1}`, counts);
  return counts as number[];
}
