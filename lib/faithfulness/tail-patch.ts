// Tail patch (Chang et al. 2024): does one more training step on a proponent raise the probability of the query's answer?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, InstanceAttribution, Provenance } from "../../types/results";
import { selectInstances } from "../data/instances";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { evaluate } from "../model/evaluate";
import { fineTune } from "../model/fine-tune";
import { libtorchVersion } from "../native";
import { integer, leastAboveZero, number, onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { createRandom, sampleWithout } from "../random";
import { topIndices } from "../results/ranking";
import { rowScores } from "../results/top";
import { bootstrapMean } from "../statistics";
import { checkLabelled, checkRanks } from "./retraining";
import { requireModelOf, type SameModelOptions } from "./same-model";

export interface TailPatchOptions extends BatchOptions, SameModelOptions {
  /** Instances of each query that get a step, each alone. @default 10 */
  readonly topK?: number;
  /** Of the one AdamW step, without decay and dropout: a first step of Adam moves each weight by about this much, whatever the gradient. @default 1e-5 */
  readonly learningRate?: number;
  /** Of the random control and the intervals. @default 42 */
  readonly seed?: number;
}

export interface TailPatch {
  readonly test: "tailPatch";
  /** Change of log p of the query's answer by one step, mean over queries and their best instances, nats. */
  readonly change: Estimate;
  /** The same with random instances. */
  readonly randomChange: Estimate;
  /** [query] mean over its best instances. */
  readonly perQuery: Float64Array;
  readonly provenance: Provenance;
}

/**
 * Takes one training step on each of a query's most helpful instances, from the model as it is, and reads the query. Positive: the
 * proponents teach it. Cost: one step and reading per different instance, at most 2 × topK × queries.
 * @example const { change, randomChange } = await tailPatch(model, train, queries, influences, { topK: 10 });
 */
export async function tailPatch(
  model: Model,
  train: Instances,
  queries: Instances,
  attribution: InstanceAttribution,
  options: TailPatchOptions = {},
): Promise<TailPatch> {
  const given = onlyKnown(options, [...batchOptionNames, "topK", "learningRate", "seed", "acrossModels"]);
  checkLabelled(model, train, queries);
  checkRanks(attribution, train, queries);
  requireModelOf(model, attribution, given);
  const [k, learningRate, seed] = [
    Math.min(train.size, integer(given, "topK", 10, 1)),
    number(given, "learningRate", 1e-5, leastAboveZero, 1),
    seedOf(given),
  ];
  const best = Array.from({ length: queries.size }, (_, query) => topIndices(rowScores(attribution, query), k));
  const random = best.map((_, query) => sampleWithout(train.size, k, createRandom(seed, query)));
  const change = await stepChanges(
    model,
    train,
    queries,
    [...new Set([...best, ...random].flatMap((indices) => Array.from(indices)))],
    learningRate,
    options,
  );
  const perQuery = (chosen: readonly Int32Array[]) =>
    Float64Array.from(
      chosen,
      (indices, query) => indices.reduce((sum, index) => sum + (change.get(index)?.[query] ?? 0), 0) / k,
    );
  const own = perQuery(best);
  return Object.freeze({
    test: "tailPatch",
    change: bootstrapMean(own, { seed }),
    randomChange: bootstrapMean(perQuery(random), { seed }),
    perQuery: own,
    provenance: provenance({
      method: "tailPatch",
      options: { topK: k, learningRate, seed, attribution: attribution.provenance.method },
      model,
      data: { train, queries },
      libtorch: libtorchVersion(),
    }),
  });
}

/** For each instance: the change of every query's log p by one step on it. */
async function stepChanges(
  model: Model,
  train: Instances,
  queries: Instances,
  chosen: readonly number[],
  learningRate: number,
  { signal, batchTokens, onProgress }: BatchOptions,
): Promise<Map<number, Float64Array>> {
  const before = (await evaluate(model, queries, { signal, batchTokens })).losses;
  const changes = new Map<number, Float64Array>();
  for (const [done, index] of chosen.entries()) {
    await onProgress?.({ done, total: chosen.length, stage: "tail patch" });
    const stepped = await fineTune(model, selectInstances(train, [index]), {
      epochs: 1,
      batchSize: 1,
      learningRate,
      weightDecay: 0,
      schedule: "constant",
      dropout: false,
      signal,
    });
    try {
      const { losses } = await evaluate(stepped, queries, { signal, batchTokens });
      changes.set(
        index,
        losses.map((loss, query) => before[query] - loss),
      );
    } finally {
      stepped.close();
    }
  }
  await onProgress?.({ done: chosen.length, total: chosen.length, stage: "tail patch" });
  return changes;
}
