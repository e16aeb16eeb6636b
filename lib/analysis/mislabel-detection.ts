// Mislabelled training instances stand out by their influence on themselves (Koh & Liang 2017, Pruthi et al. 2020).
import { AttributionError, expected } from "../errors";
import { integer, listOf, onlyKnown } from "../options";
import { createRandom } from "../random";
import { orderSteps } from "../ordering";
import { everyRow, inSlices, pacedBy } from "../pacing";
import { requireInstanceAttribution } from "../results/require";
import { aucSteps, quantile } from "../statistics";
import type { MislabelDetection } from "../../types/analysis";
import type { CallOptions } from "../../types/common";
import type { InstanceAttribution } from "../../types/results";
import type { SelfInfluence } from "../../types/store";

export interface MislabelDetectionOptions extends CallOptions {
  /** Shares of the training set to inspect, best first. @default [0.05, 0.1, 0.2, 0.3] */
  readonly inspect?: readonly number[];
  /** Of the bootstrap interval. @default 42 */
  readonly seed?: number;
}

/** Resamples of the interval: each ranks all instances. */
const resamples = 200;
const drawsPerStep = 1 << 16;

/**
 * The area under the ROC curve of self-influence as a detector of wrong labels, and the share found by inspecting the top of the
 * ranking. Takes a SelfInfluence, or an InstanceAttribution of the training set with itself, of which it reads the diagonal.
 * `mislabelled` lists the indices of the wrong ones. Cost: 200 rankings of the training set.
 * @example (await mislabelDetection(await selfInfluence(store), flipped)).auc.mean
 */
export async function mislabelDetection(
  result: SelfInfluence | InstanceAttribution,
  mislabelled: ArrayLike<number>,
  options: MislabelDetectionOptions = {},
): Promise<MislabelDetection> {
  const known = onlyKnown(options, ["inspect", "seed", "signal", "onProgress"]);
  const seed = integer(known, "seed", 42, 0);
  const inspect = sharesOf(known["inspect"] ?? [0.05, 0.1, 0.2, 0.3]);
  const scores = selfScores(result);
  const { wrong, count } = flagsOf(mislabelled, scores.length);
  const order = await inSlices(orderSteps(scores, "descending"), pacedBy(options.signal));
  const found = inspect.map((share) => {
    const inspected = Math.max(1, Math.round(share * scores.length));
    return Object.freeze({
      inspected,
      share: order.subarray(0, inspected).reduce((sum, index) => sum + wrong[index], 0) / count,
    });
  });
  return Object.freeze({
    instances: scores.length,
    mislabelled: count,
    auc: await aucEstimate(scores, wrong, seed, options),
    found: Object.freeze(found),
  });
}

/** [instance] 1 for the mislabelled ones, and how many they are. */
function flagsOf(mislabelled: ArrayLike<number>, size: number): { wrong: Uint8Array; count: number } {
  const wrong = new Uint8Array(size);
  for (const index of listOf("mislabelled", "a list of training indices", mislabelled)) {
    if (!Number.isInteger(index) || index < 0 || index >= size)
      throw expected("mislabelled", `training instances within 0–${size - 1}`, index);
    wrong[index] = 1;
  }
  const count = wrong.reduce((sum, flag) => sum + flag, 0);
  if (count === 0 || count === size)
    throw expected("mislabelled", "some of the training instances, not none or all", mislabelled);
  return { wrong, count };
}

function sharesOf(given: unknown): readonly number[] {
  const isShares =
    Array.isArray(given) &&
    given.length > 0 &&
    given.every((share) => typeof share === "number" && share > 0 && share <= 1);
  if (!isShares) throw expected("inspect", "a list of shares above 0, at most 1", given);
  return given as number[];
}

function selfScores(result: SelfInfluence | InstanceAttribution): Float32Array {
  if (isSelfInfluence(result)) return result.scores;
  requireInstanceAttribution(result, "result");
  const { queries, train, scores } = result;
  const isItself = queries === train && result.queryIds.every((id, i) => id === result.trainIds[i]);
  if (!isItself)
    throw new AttributionError(
      "mismatch",
      "Expected the attribution of the training instances to themselves: the same ids on both sides",
    );
  return Float32Array.from({ length: train }, (_, i) => scores[i * train + i]);
}

function isSelfInfluence(value: unknown): value is SelfInfluence {
  const { kind, scores, train } = (typeof value === "object" && value !== null ? value : {}) as Partial<SelfInfluence>;
  return (
    kind === "selfInfluence" &&
    Object.prototype.toString.call(scores) === "[object Float32Array]" &&
    scores!.length === train
  );
}

/** Resamples positives and negatives apart, so that every resample has both. */
async function aucEstimate(
  scores: Float32Array,
  wrong: Uint8Array,
  seed: number,
  call: CallOptions,
): Promise<MislabelDetection["auc"]> {
  const { below } = createRandom(seed);
  const sides = [0, 1].map((side) => scores.filter((_, i) => wrong[i] === side));
  const classes = Uint8Array.from(scores, (_, i) => Number(i >= sides[0].length));
  const drawn = new Float64Array(scores.length);
  const values = new Float64Array(resamples);
  await everyRow(resamples, "resampling", call, function* (sample) {
    let at = 0;
    for (const side of sides)
      for (let i = 0; i < side.length; i++) {
        drawn[at++] = side[below(side.length)];
        if (at % drawsPerStep === 0) yield;
      }
    values[sample] = yield* aucSteps(drawn, classes);
  });
  values.sort();
  const mean = await inSlices(aucSteps(scores, wrong), pacedBy(call.signal));
  return Object.freeze({ mean, low: quantile(values, 0.025), high: quantile(values, 0.975) });
}
