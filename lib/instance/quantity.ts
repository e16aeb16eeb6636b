// Quantities inside the model as the query's side of an instance attribution: reading the option `of`, and their values.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeQuantity, Quantity, QuantityLabel } from "../../types/quantity";
import { AttributionError, expected } from "../errors";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "../model/batching";
import { checkFit } from "../model/fit";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { oneOf, onlyKnown } from "../options";

const kinds = ["unit", "head", "direction", "logit", "probability", "logProbability", "contrast", "attention"] as const;
type Kind = (typeof kinds)[number];

export interface QuantityOptions {
  /** What the queries' gradients are of, instead of their loss: then a positive score raises it. @default the loss */
  readonly of?: Quantity;
}

export interface OwnOptions extends QuantityOptions {
  /** "own": only the weights of the quantity's own unit count; the unit's part of each score, see jointAttribution. @default "all" */
  readonly theta?: "all" | "own";
}

export const ownOptionNames = ["of", "theta"] as const;

/** What `of` and `theta` say: for the core, for a provenance, and the scores' unit. */
export function quantityOptions(
  given: Readonly<Record<string, unknown>>,
  model: Model,
  queries: Instances,
): {
  readonly of?: NativeQuantity;
  readonly own: boolean;
  readonly shown: Readonly<Record<string, unknown>>;
  readonly unit?: string;
} {
  const own = oneOf(given, "theta", "all", ["all", "own"]) === "own";
  if (given["of"] === undefined) {
    if (own) throw new AttributionError("missing", `theta: "own" is the weights of a unit: name it in "of"`);
    return { own, shown: {} };
  }
  const of = given["of"] as Quantity;
  return {
    of: nativeQuantity(of, model, queries),
    own,
    shown: { of: shownQuantity(of), theta: own ? "own" : "all" },
    unit: quantityUnit(of),
  };
}

/**
 * f of each instance: a neuron's activation, a head's output or a residual state on a direction, a logit, a probability or an attention
 * weight, averaged over the positions. In the quantity's own unit. Cost: one forward.
 * @returns [instance]
 * @example const [activation] = await quantityValues(model, queries, { unit: { layer: 2, unit: 517 }, positions: "all" });
 */
export async function quantityValues(
  model: Model,
  instances: Instances,
  of: Quantity,
  options: BatchOptions = {},
): Promise<Float64Array> {
  const given = onlyKnown(options, batchOptionNames);
  checkFit(model, instances, "instances");
  const params = { of: nativeQuantity(of, model, instances), batchTokens: batchTokensOf(given) };
  return runNative((control) => native().quantityValues(handleOf(model), instances, params, control), options);
}

/** The core's words for the option `of`; of some of the queries where `chosen` are their indices. */
export function nativeQuantity(
  of: unknown,
  model: Model,
  queries: Instances,
  chosen: readonly number[] = Array.from({ length: queries.size }, (_, i) => i),
): NativeQuantity {
  const [kind, value] = kindOf(of);
  const positions = positionsOf(of as Quantity, kind, queries);
  const none = {
    layer: 0,
    unit: 0,
    direction: new Float64Array(0),
    target: "logit",
    labels: new Int32Array(0),
    contrasts: new Int32Array(0),
    key: 0,
  } as const;
  const labels = (label: QuantityLabel, name: string) => labelsOf(label, name, queries, chosen);
  if (kind === "logit" || kind === "probability" || kind === "logProbability")
    return { ...none, kind: "output", target: kind, labels: labels(value as QuantityLabel, kind), positions };
  if (kind === "contrast") {
    if (!Array.isArray(value) || value.length !== 2) throw expected("of.contrast", "two labels", value);
    const [label, contrast] = (value as QuantityLabel[]).map((one, at) => labels(one, `contrast[${at}]`));
    return { ...none, kind: "output", labels: label, contrasts: contrast, positions };
  }
  const at = { ...none, positions, ...placeIn(kind, value, model) };
  if (kind === "unit") return { ...at, kind: "neuron" };
  if (kind === "attention") return { ...at, kind, key: positionIn(value) };
  return { ...at, kind: kind === "head" ? "head" : "residual", direction: directionIn(kind, value, model) };
}

/** The option `of` for a provenance: plain data. */
export function shownQuantity(of: Quantity): Quantity {
  const withList = <T extends { readonly direction: ArrayLike<number> }>(place: T | undefined) =>
    place === undefined ? undefined : { ...place, direction: Array.from(place.direction) };
  return Object.freeze(
    JSON.parse(JSON.stringify({ ...of, head: withList(of.head), direction: withList(of.direction) })) as Quantity,
  );
}

/** What a score says where it is of a quantity. */
export function quantityUnit(of: Quantity): string {
  return `rise of the ${kindOf(of)[0]} per unit of training weight, to first order`;
}

function kindOf(of: unknown): readonly [Kind, unknown] {
  const bag = onlyKnown(of as object, [...kinds, "positions"]);
  const given = kinds.filter((kind) => bag[kind] !== undefined);
  if (given.length !== 1) throw expected("of", `exactly one of ${kinds.map((kind) => `"${kind}"`).join(", ")}`, of);
  return [given[0], bag[given[0]]];
}

function placeIn(kind: Kind, value: unknown, { architecture: a }: Model): { layer: number; unit: number } {
  const fields = {
    unit: ["layer", "unit"],
    attention: ["layer", "unit", "to"],
    head: ["layer", "unit", "direction"],
  };
  const known = kind in fields ? fields[kind as keyof typeof fields] : ["layer", "direction"];
  const { layer, unit = 0 } = onlyKnown(value as object, known);
  const within = (name: string, given: unknown, end: number): number => {
    if (!Number.isInteger(given) || (given as number) < 0 || (given as number) >= end)
      throw expected(`of.${kind}.${name}`, `within 0–${end - 1}`, given);
    return given as number;
  };
  return {
    layer: within("layer", layer, a.layers),
    unit: kind === "direction" ? 0 : within("unit", unit, kind === "unit" ? a.intermediate : a.heads),
  };
}

function positionIn(value: unknown): number {
  const { to } = value as { readonly to?: unknown };
  if (!Number.isInteger(to)) throw expected("of.attention.to", "a token position", to);
  return to as number;
}

function directionIn(kind: Kind, value: unknown, { architecture: a }: Model): Float64Array {
  const { direction } = value as { readonly direction?: ArrayLike<number> };
  const width = kind === "head" ? a.headSize : a.hidden;
  const list = Array.isArray(direction) || ArrayBuffer.isView(direction) ? Float64Array.from(direction) : undefined;
  if (list?.length !== width || !list.every(Number.isFinite))
    throw expected(`of.${kind}.direction`, `${width} finite numbers`, direction);
  return list;
}

function labelsOf(label: unknown, name: string, queries: Instances, chosen: readonly number[]): Int32Array {
  const all = typeof label === "number" ? new Array<number>(queries.size).fill(label) : (label as number[]);
  const isList = Array.isArray(all) && all.length === queries.size;
  if (!isList || !all.every((one) => Number.isInteger(one) && one >= 0))
    throw expected(`of.${name}`, `a label or token id, or one for each of the ${queries.size} queries`, label);
  return Int32Array.from(chosen, (query) => all[query]);
}

/** Stands for the position that the head reads; native/instance/gradients/quantity.cpp knows it. */
const readoutPosition = -(2 ** 31);

function positionsOf({ positions }: Quantity, kind: Kind, queries: Instances): Int32Array {
  const isOutput = kind === "logit" || kind === "probability" || kind === "logProbability" || kind === "contrast";
  if (isOutput && queries.kind !== "causalLM" && positions !== undefined)
    throw new AttributionError("invalid", `A classifier's ${kind} is at its readout: leave "positions" out`);
  if (positions === undefined || positions === "readout") return Int32Array.of(readoutPosition);
  if (positions === "all") return new Int32Array(0);
  const isList = Array.isArray(positions) && positions.length > 0 && positions.every(Number.isInteger);
  if (!isList) throw expected("of.positions", `"readout", "all" or a list of token positions`, positions);
  return Int32Array.from(positions);
}
