// Outputs of models tuned on parts of the training set: the ground truth that linearDatamodelingScore and leaveOneOutCorrelation need.
import type { SubsetOutputs } from "../../types/analysis";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { AttributionError, expected } from "../errors";
import { integer, number, oneOf, onlyKnown, seedOf } from "../options";
import { createRandom, sampleWithout } from "../random";
import { requireOutputs } from "../results/require";
import { checkLabelled, retrainingNames, type RetrainingOptions, seedsOf, tuneAndRead } from "./retraining";

export interface OutputOptions extends RetrainingOptions {
  /** What is measured: log p of the gold label (of a causal LM: of the target tokens), or log(p / (1 − p)). @default "logProbability" */
  readonly output?: SubsetOutputs["output"];
}

export interface SubsetOutputsOptions extends OutputOptions {
  /** @default 40 */
  readonly subsets?: number;
  /** Number of the first subset: subset s is the same whatever call makes it, so that a long run can be cut and joined. @default 0 */
  readonly from?: number;
  /** Share of the training set in each. @default 0.5 */
  readonly fraction?: number;
  /** Of the draws. @default 42 */
  readonly seed?: number;
}

/**
 * Tunes the base model on random parts of the training set and reads each query's output. Cost: subsets × seeds fine-tunings.
 * @example const outputs = await subsetOutputs(base, train, queries, { subsets: 40, seeds: [1, 2], fineTune: { epochs: 3 } });
 */
export async function subsetOutputs(
  base: Model,
  train: Instances,
  queries: Instances,
  options: SubsetOutputsOptions = {},
): Promise<SubsetOutputs> {
  const given = onlyKnown(options, [...retrainingNames, "output", "subsets", "from", "fraction", "seed"]);
  checkLabelled(base, train, queries);
  const [subsets, from, seed] = [integer(given, "subsets", 40, 1), integer(given, "from", 0, 0), seedOf(given)];
  const count = Math.round(number(given, "fraction", 0.5, 0, 1) * train.size);
  if (count < 1 || count >= train.size)
    throw expected("fraction", "a share that keeps at least one instance and leaves one out", options.fraction ?? 0.5);
  const parts = Array.from({ length: subsets }, (_, s) =>
    sampleWithout(train.size, count, createRandom(seed, from + s)).sort(),
  );
  return measured(base, train, queries, parts, options, "subset models");
}

/**
 * Tunes the base model once without each of the chosen training instances. Cost: instances × seeds fine-tunings.
 * @example const outputs = await leaveOneOutOutputs(base, train, queries, { leaveOut: [0, 5, 9], seeds: [1, 2, 3] });
 */
export async function leaveOneOutOutputs(
  base: Model,
  train: Instances,
  queries: Instances,
  options: OutputOptions & {
    /** Training instances to leave out, one at a time. @default all */
    readonly leaveOut?: readonly number[];
  } = {},
): Promise<SubsetOutputs> {
  onlyKnown(options, [...retrainingNames, "output", "leaveOut"]);
  checkLabelled(base, train, queries);
  const all = Array.from({ length: train.size }, (_, i) => i);
  const { leaveOut = all } = options;
  const isIndices =
    Array.isArray(leaveOut) &&
    leaveOut.length > 0 &&
    leaveOut.every((i) => Number.isInteger(i) && i >= 0 && i < train.size);
  if (!isIndices) throw expected("leaveOut", `a list of training instances within 0–${train.size - 1}`, leaveOut);
  if (train.size < 2)
    throw new AttributionError("invalid", "Expected at least two training instances: one is left out");
  return measured(
    base,
    train,
    queries,
    leaveOut.map((out) => all.filter((i) => i !== out)),
    options,
    "leave-one-out models",
  );
}

/**
 * Outputs of two runs over the same instances, one after the other: subsets add up, masks and values follow each other.
 * @example joinSubsetOutputs(await subsetOutputs(base, train, queries, { subsets: 20 }), await subsetOutputs(base, train, queries, { subsets: 20, from: 20 }))
 */
export function joinSubsetOutputs(first: SubsetOutputs, second: SubsetOutputs): SubsetOutputs {
  requireOutputs(first, "first");
  requireOutputs(second, "second");
  const isSame =
    first.output === second.output &&
    JSON.stringify([first.trainIds, first.queryIds]) === JSON.stringify([second.trainIds, second.queryIds]);
  if (!isSame)
    throw new AttributionError(
      "mismatch",
      "Expected two runs over the same training instances and queries, with the same output",
    );
  return Object.freeze({
    ...first,
    subsets: first.subsets + second.subsets,
    masks: Uint8Array.from([...first.masks, ...second.masks]),
    values: Float64Array.from([...first.values, ...second.values]),
  });
}

async function measured(
  base: Model,
  train: Instances,
  queries: Instances,
  parts: readonly ArrayLike<number>[],
  options: OutputOptions,
  stage: string,
): Promise<SubsetOutputs> {
  const seeds = seedsOf(options.seeds);
  const output = oneOf({ ...options }, "output", "logProbability", ["logProbability", "logOdds"]);
  const masks = new Uint8Array(parts.length * train.size);
  const values = new Float64Array(parts.length * queries.size);
  const total = parts.length * seeds.length;
  for (const [at, part] of parts.entries()) {
    for (let i = 0; i < part.length; i++) masks[at * train.size + part[i]] = 1;
    for (const [run, seed] of seeds.entries()) {
      await options.onProgress?.({ done: at * seeds.length + run, total, stage });
      const { losses } = await tuneAndRead(base, train, part, queries, seed, options);
      losses.forEach((loss, query) => {
        values[at * queries.size + query] += outputOf(loss, output) / seeds.length;
      });
    }
  }
  await options.onProgress?.({ done: total, total, stage });
  return Object.freeze({
    subsets: parts.length,
    train: train.size,
    queries: queries.size,
    masks,
    values,
    output,
    trainIds: train.ids,
    queryIds: queries.ids,
  });
}

/** p within 1e-12 of 1 counts as that: the rest is rounding. */
function outputOf(loss: number, output: SubsetOutputs["output"]): number {
  return output === "logProbability" ? -loss : -loss - Math.log(Math.max(1e-12, -Math.expm1(-loss)));
}
