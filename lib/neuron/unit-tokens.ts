// What units push up in vocabulary space.
import type { CallOptions } from "../../types/common";
import type { Model } from "../../types/model";
import { AttributionError, expected } from "../errors";
import { native, runNative } from "../native";
import { integer, oneOf, onlyKnown } from "../options";
import { handleOf } from "../model/model";

export interface UnitWrite {
  readonly layer: number;
  readonly unit: number;
  /**
   * The unit's value, as `capture` gives it; of a head its slice, which has no default. A negative value pushes up what a positive
   * one pushes down. @default 1
   */
  readonly value?: number | ArrayLike<number>;
  /** A token whose rank is wanted. @default 0 */
  readonly rankOf?: number;
}

export interface UnitTokensOptions extends CallOptions {
  /** What the units are. @default "neurons" */
  readonly site?: "neurons" | "heads";
  /** Tokens of each unit. @default 10 */
  readonly top?: number;
}

export interface UnitTokens {
  /** Best first; texts by `model.tokenizer.tokenTexts`. */
  readonly tokens: readonly { readonly id: number; readonly logit: number }[];
  /** Of the token `rankOf` among the whole vocabulary; 1 is the best. */
  readonly rank: number;
}

const names = ["site", "top", "signal", "onProgress"] as const satisfies readonly (keyof UnitTokensOptions)[];

/**
 * The tokens that each unit writes: the logits of head(norm(value · v)), v the unit's column of the output projection, read alone
 * through the final norm and the head, whatever later layers make of it. Causal language models with pre-norm blocks.
 * Of an expert's neuron without the router's weight. Positive: the unit raises the token. Unit: logit. Source: Geva et al. 2022. Cost: one head product per unit.
 * @returns one entry per unit, in their order
 * @example const [{ tokens }] = await unitTokens(model, [{ layer: 3, unit: 17 }], { top: 5 });
 */
export async function unitTokens(
  model: Model,
  units: readonly UnitWrite[],
  options?: UnitTokensOptions,
): Promise<UnitTokens[]> {
  const given = onlyKnown(options, names);
  const top = integer(given, "top", 10, 1);
  const site = oneOf(given, "site", "neurons", ["neurons", "heads"]);
  if (!Array.isArray(units) || units.length === 0)
    throw expected("units", "a non-empty list of units { layer, unit, value }", units);
  const writes = units as readonly UnitWrite[];
  handleOf(model); // refuses what is no model, whose sizes are read next
  const features = site === "heads" ? model.architecture.headSize : 1;
  const values = writes.map((write, i) => valueOf(write, i, site, features));
  const params = {
    site,
    top,
    layers: Int32Array.from(writes, ({ layer }) => layer),
    units: Int32Array.from(writes, ({ unit }) => unit),
    values: Float32Array.from(values.flat()),
    rankOf: Int32Array.from(writes, ({ rankOf = 0 }) => rankOf),
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

/** The value of a unit's features; refuses what is no unit. */
function valueOf(write: UnitWrite, i: number, site: "neurons" | "heads", features: number): number[] {
  const {
    layer,
    unit,
    value,
    rankOf = 0,
  } = typeof write === "object" && write !== null ? write : ({} as Partial<UnitWrite>);
  if (!Number.isInteger(layer) || !Number.isInteger(unit))
    throw expected(`units[${i}]`, "{ layer, unit, value }, the first two whole numbers", write);
  if (!Number.isInteger(rankOf) || rankOf < 0)
    throw expected(`units[${i}].rankOf`, "a token id, a whole number of at least 0", rankOf);
  if (value === undefined && site === "heads")
    throw new AttributionError("missing", `A head's "value", its ${features} features, is missing in units[${i}]`);
  const isList = Array.isArray(value) || ArrayBuffer.isView(value);
  const list = value === undefined ? [1] : isList ? Array.from(value as ArrayLike<number>) : [value as number];
  if (!list.every(Number.isFinite)) throw expected(`units[${i}].value`, "a finite number, or a list of them", value);
  if (list.length !== features)
    throw new AttributionError(
      "mismatch",
      `Expected the value of units[${i}] to have ${features} features but received ${list.length}`,
    );
  return list;
}
