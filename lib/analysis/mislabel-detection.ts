// Mislabelled training instances stand out by their influence on themselves (Koh & Liang 2017, Pruthi et al. 2020).
import { AttributionError, expected } from "../errors";
import { integer, listOf, onlyKnown } from "../options";
import { createRandom } from "../random";
import { descendingOrder } from "../results/ranking";
import { requireInstanceAttribution } from "../results/require";
import { auc, quantile } from "../statistics";
import type { MislabelDetection } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";
import type { SelfInfluence } from "../../types/store";

export interface MislabelDetectionOptions {
  /** Shares of the training set to inspect, best first. @default [0.05, 0.1, 0.2, 0.3] */
  readonly inspect?: readonly number[];
  /** Of the bootstrap interval. @default 42 */
  readonly seed?: number;
}

/** Resamples of the interval: each ranks all instances. */
const resamples = 200;

/**
 * The area under the ROC curve of self-influence as a detector of wrong labels, and the share found by inspecting the top of the
 * ranking. Takes a SelfInfluence, or an InstanceAttribution of the training set with itself, of which it reads the diagonal.
 * `mislabelled` lists the indices of the wrong ones. Cost: 200 rankings of the training set.
 * @example mislabelDetection(await selfInfluence(store), flipped).auc.mean
 */
export function mislabelDetection(
  result: SelfInfluence | InstanceAttribution,
  mislabelled: ArrayLike<number>,
  given?: MislabelDetectionOptions,
): MislabelDetection {
  const options = onlyKnown(given, ["inspect", "seed"]);
  const seed = integer(options, "seed", 42, 0);
  const inspect = sharesOf(options["inspect"] ?? [0.05, 0.1, 0.2, 0.3]);
  const scores = selfScores(result);
  const wrong = new Uint8Array(scores.length);
  for (const index of listOf("mislabelled", "a list of training indices", mislabelled)) {
    if (!Number.isInteger(index) || index < 0 || index >= scores.length)
      throw expected("mislabelled", `training instances within 0–${scores.length - 1}`, index);
    wrong[index] = 1;
  }
  const count = wrong.reduce((sum, flag) => sum + flag, 0);
  if (count === 0 || count === scores.length)
    throw expected("mislabelled", "some of the training instances, not none or all", mislabelled);
  const order = descendingOrder(scores);
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
    auc: aucEstimate(scores, wrong, seed),
    found: Object.freeze(found),
  });
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
function aucEstimate(scores: Float32Array, wrong: Uint8Array, seed: number): MislabelDetection["auc"] {
  const { below } = createRandom(seed);
  const sides = [0, 1].map((side) => scores.filter((_, i) => wrong[i] === side));
  const classes = Uint8Array.from(scores, (_, i) => Number(i >= sides[0].length));
  const drawn = new Float64Array(scores.length);
  const values = Float64Array.from({ length: resamples }, () => {
    let at = 0;
    for (const side of sides) for (let i = 0; i < side.length; i++) drawn[at++] = side[below(side.length)];
    return auc(drawn, classes);
  }).sort();
  return Object.freeze({ mean: auc(scores, wrong), low: quantile(values, 0.025), high: quantile(values, 0.975) });
}
