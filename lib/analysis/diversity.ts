// How varied the chosen training instances are, and whether that goes with how well a model tuned on them does (Yu et al. 2024,
// section 5). Losses and readout states are given by the caller: nothing here touches a model.
import { instanceTokens } from "../data/instance-tokens";
import { requireInstances } from "../data/require-instances";
import { AttributionError, expected } from "../errors";
import { isTyped, listOf, onlyKnown } from "../options";
import { everyRow } from "../pacing";
import { mean, pearson, spearman } from "../statistics";
import type { Correlation, Diversity } from "../../types/analysis";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";

export interface DiversityOptions extends CallOptions {
  /** [instance] loss of each of `instances`, e.g. from `evaluate`. @default none, meanLoss is NaN */
  readonly losses?: ArrayLike<number>;
  /** [instance, feature] readout state of each of `instances`, row-major. @default none, meanPairwiseCosine is NaN */
  readonly states?: Float32Array;
}

/**
 * Describes the instances with the given indices (a repeated index counts once): different tokens, mean length, mean loss, mean
 * pairwise cosine of the readout states. Cost: one pass over their tokens and states; the pairs are never formed.
 * @example await diversity(train, top(influences, 0, 100).map(({ index }) => index), { losses })
 */
export async function diversity(
  instances: Instances,
  indices: ArrayLike<number>,
  options: DiversityOptions = {},
): Promise<Diversity> {
  onlyKnown(options, ["losses", "states", "signal", "onProgress"]);
  requireInstances(instances, "instances");
  const chosen = [...new Set(listOf("indices", "a list of instance indices", indices))];
  if (chosen.length === 0) throw new AttributionError("invalid", "Expected at least one instance but received none");
  for (const index of chosen) {
    if (!Number.isInteger(index) || index < 0 || index >= instances.size)
      throw expected("indices", `instances within 0–${instances.size - 1}`, index);
  }
  const { losses, states } = options;
  if (losses !== undefined && listOf("losses", "a list of numbers", losses).length !== instances.size)
    throw expected("losses", `${instances.size} numbers, one per instance`, losses);
  const distinct = new Set<number>();
  let tokens = 0;
  await everyRow(chosen.length, "diversity", options, (at) => {
    const row = instanceTokens(instances, chosen[at]);
    tokens += row.length;
    for (const token of row) distinct.add(token);
  });
  return Object.freeze({
    instances: chosen.length,
    tokens,
    distinctTokens: distinct.size,
    meanLength: tokens / chosen.length,
    meanLoss: losses === undefined ? NaN : mean(chosen.map((index) => losses[index])),
    meanPairwiseCosine:
      states === undefined ? NaN : await meanPairwiseCosine(states, instances.size, chosen, options.signal),
  });
}

/** Σ over pairs of cosines from the sum of unit vectors: (‖Σ u‖² − n) / (n (n − 1)). */
async function meanPairwiseCosine(
  states: Float32Array,
  size: number,
  chosen: readonly number[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const features = isTyped(states, "Float32Array") ? states.length / size : NaN;
  if (!Number.isInteger(features) || features < 1)
    throw expected("states", `a Float32Array with one row of features for each of ${size} instances`, states);
  if (chosen.length < 2) return NaN;
  const sum = new Float64Array(features);
  await everyRow(chosen.length, "diversity", { signal }, (at) => {
    const row = states.subarray(chosen[at] * features, (chosen[at] + 1) * features);
    const norm = Math.sqrt(row.reduce((squares, value) => squares + value * value, 0));
    if (!(norm > 0))
      throw new AttributionError(
        "invalid",
        `Expected a readout state with a direction but that of instance ${chosen[at]} has the norm ${norm}`,
      );
    for (let feature = 0; feature < features; feature++) sum[feature] += row[feature] / norm;
  });
  const squares = sum.reduce((total, value) => total + value * value, 0);
  return (squares - chosen.length) / (chosen.length * (chosen.length - 1));
}

/**
 * Correlation of the diversity of several chosen sets (one measure of `Diversity`) with the result of tuning on each, e.g. the
 * accuracy. NaN where one side does not vary. At least two pairs.
 * @example diversityCorrelation(shares.map(({ meanLoss }) => meanLoss), accuracies).spearman
 */
export function diversityCorrelation(diversities: ArrayLike<number>, results: ArrayLike<number>): Correlation {
  const [a, b] = [numbersOf("diversities", diversities), numbersOf("results", results)];
  if (a.length !== b.length)
    throw new AttributionError(
      "mismatch",
      `Expected a result for each of ${a.length} diversities but received ${b.length}`,
    );
  if (a.length < 2) throw expected("diversities", "at least two numbers", diversities);
  return Object.freeze({ pairs: a.length, pearson: pearson(a, b), spearman: spearman(a, b) });
}

function numbersOf(name: string, value: unknown): number[] {
  const list = listOf(name, "a list of numbers", value);
  if (!list.every(Number.isFinite)) throw expected(name, "a list of finite numbers", value);
  return list;
}
