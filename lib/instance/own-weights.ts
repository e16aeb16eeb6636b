// Influence on a unit through the unit's own weights: that unit's part of each score.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeInfluenceParams } from "../../types/native";
import type { NativeQuantity } from "../../types/quantity";
import { AttributionError } from "../errors";
import type { CallOptions } from "../../types/common";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { unitsOf } from "./joint/units";

/** Scores [query, train]: J(q, z; u) of jointAttribution with u the quantity's unit. */
export async function ownScores(
  model: Model,
  train: Instances,
  queries: Instances,
  params: NativeInfluenceParams & { readonly of?: NativeQuantity },
  options: CallOptions,
): Promise<Float32Array> {
  const pairs = queries.size * train.size;
  const asked = {
    ...params,
    similarity: "dot",
    sources: Int32Array.from({ length: pairs }, (_, pair) => Math.floor(pair / train.size)),
    targets: Int32Array.from({ length: pairs }, (_, pair) => pair % train.size),
    kept: 1,
    only: unitIndex(model, params.modules, params.of),
    sumsOnly: false,
  } as const;
  const { parts } = await runNative(
    (control) => native().influenceUnits(handleOf(model), train, queries, train, asked, control),
    options,
  );
  return Float32Array.from(parts);
}

function unitIndex(model: Model, modules: readonly string[], of: NativeQuantity | undefined): number {
  if (of?.kind !== "neuron" && of?.kind !== "head" && of?.kind !== "attention")
    throw new AttributionError("invalid", `theta: "own" is a unit's: give it as of.unit, of.head or of.attention`);
  const { units, neurons } = unitsOf(model, modules);
  const part = of.kind === "neuron" ? "mlp" : "attention";
  if (!modules.some((name) => name.startsWith(`layers.${of.layer}.${part}.`)))
    throw new AttributionError(
      "missing",
      `The unit's own weights, layers.${of.layer}.${part}.*, are not among the "parameters"`,
    );
  return of.layer * units + (of.kind === "neuron" ? 0 : neurons) + of.unit;
}
