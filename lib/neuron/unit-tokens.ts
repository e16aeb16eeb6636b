// What units push up in vocabulary space.
import type { CallOptions } from "../../types/common";
import type { Model } from "../../types/model";
import { AttributionError } from "../errors";
import { native, runNative } from "../native";
import { integer, onlyKnown } from "../options";
import { handleOf } from "../model/model";

export interface UnitWrite {
  readonly layer: number;
  readonly unit: number;
  /** The unit's value, as `capture` gives it; of a head its slice. A negative value pushes up what a positive one pushes down. */
  readonly value: ArrayLike<number>;
  /** A token whose rank is wanted. @default 0 */
  readonly asked?: number;
}

export interface UnitTokensOptions extends CallOptions {
  /** Tokens of each unit. @default 10 */
  readonly top?: number;
}

export interface UnitTokens {
  /** Best first. */
  readonly tokens: readonly { readonly id: number; readonly logit: number }[];
  /** Of the asked token among the whole vocabulary, 1 is the best. */
  readonly rank: number;
}

/**
 * The tokens that each unit's write, value × its column of the output projection, raises most, read alone through the final norm
 * and the head, whatever later layers make of it. Causal language models with pre-norm blocks. Source: Geva et al. 2022.
 * Cost: one head product per unit.
 */
export async function unitTokens(
  model: Model,
  site: "neurons" | "heads",
  writes: readonly UnitWrite[],
  options?: UnitTokensOptions,
): Promise<UnitTokens[]> {
  const top = integer(onlyKnown(options, ["top", "signal", "onProgress"]), "top", 10, 1);
  const features = site === "heads" ? model.architecture.headSize : 1;
  const wrong = writes.find(({ value }) => value.length !== features);
  if (wrong !== undefined)
    throw new AttributionError(
      "mismatch",
      `Expected each value to have ${features} features but received ${wrong.value.length}`,
    );
  const params = {
    site,
    top,
    layers: Int32Array.from(writes, ({ layer }) => layer),
    units: Int32Array.from(writes, ({ unit }) => unit),
    values: Float32Array.from(writes.flatMap(({ value }) => Array.from(value))),
    asked: Int32Array.from(writes, ({ asked = 0 }) => asked),
  };
  const { ids, logits, ranks } = await runNative(
    (control) => native().unitTokens(handleOf(model), params, control),
    options,
  );
  const each = ids.length / writes.length;
  return writes.map((_, entry) => ({
    rank: ranks[entry],
    tokens: Array.from(ids.subarray(entry * each, (entry + 1) * each), (id, at) => ({
      id,
      logit: logits[entry * each + at],
    })),
  }));
}
