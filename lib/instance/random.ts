// Random scores over the training instances: what any instance attribution must beat. Made by no model.
import { pacedBy } from "../pacing";
import { requireSome } from "../data/require-instances";
import { onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { createRandom } from "../random";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { InstanceAttribution } from "../../types/results";

export interface RandomInstancesOptions extends CallOptions {
  /** @default 42 */
  readonly seed?: number;
}

/**
 * Scores [query, train], each uniform within 0–1 and independent. The scores of a query depend on the seed, its place and the
 * number of training instances only. Unit: none.
 * @example const byChance = await randomInstances(train, queries, { seed: 60 });
 */
export async function randomInstances(
  train: Instances,
  queries: Instances,
  given?: RandomInstancesOptions,
): Promise<InstanceAttribution> {
  const seed = seedOf(onlyKnown(given, ["seed", "signal", "onProgress"]));
  const { signal, onProgress } = given ?? {};
  requireSome(train, "train");
  requireSome(queries, "queries");
  const pace = pacedBy(signal);
  const scores = new Float32Array(queries.size * train.size); // [query, train]
  for (let query = 0; query < queries.size; query++) {
    const random = createRandom(seed, query);
    for (let at = query * train.size; at < (query + 1) * train.size; at++) scores[at] = random.word() / 2 ** 32;
    await pace();
    await onProgress?.({ done: query + 1, total: queries.size, stage: "random" });
  }
  return Object.freeze({
    kind: "instances",
    scores,
    queries: queries.size,
    train: train.size,
    queryIds: queries.ids,
    trainIds: train.ids,
    unit: "random number within 0–1",
    provenance: provenance({ method: "random", options: { seed }, data: { train, queries } }),
  });
}
