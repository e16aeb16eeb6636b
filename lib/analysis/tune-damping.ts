// Which damping? A sweep, judged by what retrained models say of some queries and reported on the others.
import type { DampingSweep, SubsetOutputs } from "../../types/analysis";
import type { CallOptions } from "../../types/common";
import type { InstanceAttribution } from "../../types/results";
import { AttributionError, expected } from "../errors";
import { leastAboveZero, number, onlyKnown, seedOf } from "../options";
import { stopIfAborted } from "../pacing";
import { createRandom, shuffle } from "../random";
import { requireOutputs } from "../results/require";
import { bootstrapMean } from "../statistics";
import { linearDatamodelingScore } from "./linear-datamodeling-score";

export interface TuneDampingOptions extends CallOptions {
  /** @default [1e-4, 1e-3, 1e-2, 0.1, 1, 10] */
  readonly dampings?: readonly number[];
  /** Share of the queries that choose the damping; the others test the choice. @default 0.5 */
  readonly share?: number;
  /** Of the split of the queries and the intervals. @default 42 */
  readonly seed?: number;
}

/**
 * Computes the attribution with each damping and takes the one whose linear datamodeling score is highest on some queries, ties to the
 * larger damping; its score on the other queries, `heldOut`, had no part in the choice. Attributions of one damping may score near zero
 * where another does well, so an untuned one is no verdict on a method. Unit: Spearman's correlation, within −1–1.
 * Source: Park et al. 2023 (linear datamodeling score). Cost: an attribution and its score for each damping; no training.
 * @example const { best, heldOut } = await tuneDamping((damping) => trak(model, store, queries, { damping }), await subsetOutputs(base, train, queries));
 */
export async function tuneDamping(
  attribute: (damping: number) => Promise<InstanceAttribution>,
  outputs: SubsetOutputs,
  options: TuneDampingOptions = {},
): Promise<DampingSweep> {
  const given = onlyKnown(options, ["dampings", "share", "seed", "signal", "onProgress"]);
  if (typeof attribute !== "function")
    throw expected("attribute", "a function that makes the attribution of a damping", attribute);
  requireOutputs(outputs, "outputs");
  const dampings = dampingsOf(options.dampings ?? [1e-4, 1e-3, 1e-2, 0.1, 1, 10]);
  const seed = seedOf(given);
  const share = number(given, "share", 0.5, leastAboveZero, 1);
  const per: Float64Array[] = [];
  for (const [done, damping] of dampings.entries()) {
    stopIfAborted(options.signal);
    await options.onProgress?.({ done, total: dampings.length, stage: "damping" });
    const scored = await linearDatamodelingScore(await attribute(damping), outputs, { seed, signal: options.signal });
    per.push(scored.perQuery);
  }
  await options.onProgress?.({ done: dampings.length, total: dampings.length, stage: "damping" });
  const [tuning, heldOut] = splitOf(per[0], share, seed);
  const points = dampings.map((damping, at) => {
    const over = (queries: readonly number[]) =>
      bootstrapMean(
        queries.map((query) => per[at][query]),
        { seed },
      );
    return Object.freeze({ damping, tuning: over(tuning), heldOut: over(heldOut) });
  });
  const best = points.reduce((a, b) => (b.tuning.mean >= a.tuning.mean ? b : a));
  return Object.freeze({
    points: Object.freeze(points),
    best: best.damping,
    tuning: best.tuning,
    heldOut: best.heldOut,
    tuningQueries: Object.freeze(tuning),
    heldOutQueries: Object.freeze(heldOut),
  });
}

/** Different dampings, smallest first. */
function dampingsOf(given: unknown): readonly number[] {
  const isList = Array.isArray(given) && given.length > 0;
  if (!isList || !given.every((one) => typeof one === "number" && one > 0 && Number.isFinite(one)))
    throw expected("dampings", "a list of numbers above 0", given);
  return [...new Set(given as number[])].sort((a, b) => a - b);
}

/** The queries whose outputs vary, in two parts at random. */
function splitOf(perQuery: Float64Array, share: number, seed: number): readonly [readonly number[], readonly number[]] {
  const known = Array.from(perQuery.keys()).filter((query) => !Number.isNaN(perQuery[query]));
  if (known.length < 2)
    throw new AttributionError(
      "invalid",
      `Expected at least two queries whose outputs vary over the subsets but received ${known.length}: one chooses the damping, the other tests it`,
    );
  const count = Math.min(known.length - 1, Math.max(1, Math.round(share * known.length)));
  const mixed = shuffle(known, createRandom(seed, known.length));
  const sorted = (list: readonly number[]) => [...list].sort((a, b) => a - b);
  return [sorted(mixed.slice(0, count)), sorted(mixed.slice(count))];
}
