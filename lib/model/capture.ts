// What goes on inside: the readout hidden state, and the values of neurons and heads.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { native, runNative } from "../native";
import { oneOf, onlyKnown } from "../options";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "./batching";
import { checkFit } from "./fit";
import { layersOf } from "./config/layers";
import { handleOf } from "./model";

/**
 * The hidden state that the head reads (after the final norm) at the readout position; of encoders before the head's own transform.
 * @returns [row, hidden], row-major; a listwise instance has one row per choice.
 * @example const { meanPairwiseCosine } = await diversity(train, [0, 1, 2], { states: await readoutStates(model, train) });
 */
export async function readoutStates(model: Model, instances: Instances, options?: BatchOptions): Promise<Float32Array> {
  const given = onlyKnown(options, batchOptionNames);
  checkFit(model, instances, "instances");
  return runNative(
    (control) => native().readoutStates(handleOf(model), instances, { batchTokens: batchTokensOf(given) }, control),
    options,
  );
}

export interface CaptureOptions extends BatchOptions {
  /** MLP neurons (the input of the MLP's output projection), heads (that of the attention's, head by head), or the first MLP layer before its activation. @default "neurons" */
  readonly site?: "neurons" | "heads" | "preActivation";
  /** Layers to capture, increasing. @default all */
  readonly layers?: readonly number[];
  /** At the readout position of each row, or at every token. @default "readout" */
  readonly positions?: "readout" | "all";
}

export interface Captured {
  /** [row or token, layer, feature], row-major. */
  readonly values: Float32Array;
  /** Rows (readout) or tokens (all). */
  readonly count: number;
  readonly layers: readonly number[];
  /** Features of a layer: neurons, or heads × head size. */
  readonly features: number;
}

/**
 * Values at one site, without caching anything else. Cost: one forward.
 * @example const { values, features } = await capture(model, queries, { site: "heads", layers: [0, 1] });
 */
export async function capture(model: Model, instances: Instances, options?: CaptureOptions): Promise<Captured> {
  const given = onlyKnown(options, [...batchOptionNames, "site", "layers", "positions"]);
  checkFit(model, instances, "instances");
  const site = oneOf(given, "site", "neurons", ["neurons", "heads", "preActivation"]);
  const positions = oneOf(given, "positions", "readout", ["readout", "all"]);
  const layers = layersOf(given, model.architecture.layers);
  const params = { batchTokens: batchTokensOf(given), site, positions, layers };
  const values = await runNative(
    (control) => native().captureSite(handleOf(model), instances, params, control),
    options,
  );
  const count = positions === "all" ? instances.tokens.length : instances.rowOffsets.length - 1;
  return Object.freeze({ values, count, layers: [...layers], features: values.length / count / layers.length });
}
