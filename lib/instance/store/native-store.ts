// A store as the addon reads it: its shards, and what log-odds need beside them.
import type { NativeScoreParams } from "../../../types/native";
import type { GradientStore, Preconditioner, QueryFeatures } from "../../../types/store";
import { nativeStore, readLosses } from "./layout";
import { usesLogOdds } from "./preconditioners";

export function nativeStoreOf(store: GradientStore) {
  return nativeStore(
    store.directory,
    { precision: store.precision, segments: [...store.segments.map(({ begin }) => begin), store.width] },
    store.shards,
  );
}

export const noDoubts = { rowDoubts: new Float64Array(0), queryDoubts: new Float64Array(0) };

/** The least 1 − p: below it the loss is rounding. */
const leastDoubt = 1e-6;

/** 1 − p of rows and queries, for gradients of log-odds: ∇ log(p / (1 − p)) = −∇L / (1 − p) with p = exp(−L). Else none. */
export async function doubtsFor(
  kind: Preconditioner,
  store: GradientStore,
  { losses, of }: Pick<QueryFeatures, "losses" | "of">,
): Promise<Pick<NativeScoreParams, "rowDoubts" | "queryDoubts">> {
  if (!usesLogOdds(kind)) return noDoubts;
  // A quantity's gradient is its own: no log-odds.
  return {
    rowDoubts: await doubtsOf(store),
    queryDoubts: Float64Array.from(losses, of === undefined ? doubt : () => 1),
  };
}

/** 1 − p of each stored instance. */
export async function doubtsOf(store: GradientStore): Promise<Float64Array> {
  const layout = { precision: store.precision, segments: [...store.segments.map(({ begin }) => begin), store.width] };
  return Float64Array.from(await readLosses(store.directory, layout, store.shards), doubt);
}

const doubt = (loss: number): number => Math.max(leastDoubt, -Math.expm1(-loss));
