// Whether a value is Instances: what every function that takes them asks first, in constant time. Their numbers (ids, offsets,
// labels) are checked where they are read, by the native core.
import type { Instances } from "../../types/data";
import { AttributionError, expected, shown } from "../errors";
import { isTyped } from "../options";

const kinds: readonly unknown[] = ["causalLM", "maskedLM", "classification", "choice"];

/** "invalid" for anything whose parts do not have the lengths that they must have. */
export function requireInstances(value: unknown, name: string): asserts value is Instances {
  if (typeof value !== "object" || value === null || !kinds.includes((value as Instances).kind))
    throw expected(name, "Instances from encode or createInstances", value);
  const fault = faultOf(value as Instances);
  if (fault !== undefined)
    throw new AttributionError(
      "invalid",
      `Expected "${name}" to be Instances from encode or createInstances, but its ${fault} do not fit each other`,
    );
}

/** The same for calls that need at least one. */
export function requireSome(value: unknown, name: string): asserts value is Instances {
  requireInstances(value, name);
  if (value.size === 0)
    throw new AttributionError("invalid", `Expected "${name}" to hold at least one instance but received none`);
}

/** "missing" where an instance has nothing to predict: no label, or for a causal LM no target token. Its loss would be 0. */
export function requireTargets(instances: Instances, name: string): void {
  const silent = indicesWhere(instances, hasNothingToPredict);
  if (silent.length > 0)
    throw nothingToPredict(instances, name, silent, instances.kind === "causalLM" ? "no target token" : "no label");
}

/** "missing" where an instance has no label. */
export function requireLabels(instances: Instances, name: string): void {
  const silent = indicesWhere(instances, ({ labels }, index) => labels[index] < 0);
  if (silent.length > 0) throw nothingToPredict(instances, name, silent, "no label");
}

function hasNothingToPredict({ kind, labels, targets, rowOffsets, groupOffsets }: Instances, index: number): boolean {
  if (kind !== "causalLM") return !(labels[index] >= 0);
  const start = rowOffsets[groupOffsets[index]];
  // Most rows predict at their end.
  for (let at = rowOffsets[groupOffsets[index + 1]] - 1; at >= start; at--) if (targets[at] >= 0) return false;
  return true;
}

const mostNamed = 3;

function indicesWhere(instances: Instances, holds: (instances: Instances, index: number) => boolean): number[] {
  const found: number[] = [];
  for (let index = 0; index < instances.size && found.length <= mostNamed; index++)
    if (holds(instances, index)) found.push(index);
  return found;
}

function nothingToPredict({ ids }: Instances, name: string, silent: readonly number[], what: string): AttributionError {
  const rows = silent.slice(0, mostNamed).map((index) => `${index} (id ${shown(ids[index])})`);
  return new AttributionError(
    "missing",
    `Instances of "${name}" have nothing to predict (${what}): ${rows.join(", ")}${silent.length > mostNamed ? ", …" : ""}. Leave them out, or give them a label or an answer`,
  );
}

/** The parts whose types or lengths contradict each other, or undefined. */
function faultOf({
  size,
  tokens,
  rowOffsets,
  groupOffsets,
  labels,
  targets,
  tokenTypes,
  ids,
  texts,
  hash,
}: Instances): string | undefined {
  const checks: readonly (readonly [parts: string, passes: boolean])[] = [
    [
      "arrays and size",
      [tokens, rowOffsets, groupOffsets, labels, targets].every((array) => isTyped(array, "Int32Array")) &&
        Number.isInteger(size) &&
        size >= 0,
    ],
    ["groupOffsets and size", groupOffsets?.length === size + 1],
    ["labels and size", labels?.length === size],
    ["rowOffsets and groupOffsets", rowOffsets?.length === (groupOffsets?.[size] ?? NaN) + 1],
    ["tokens and rowOffsets", tokens?.length === rowOffsets?.[rowOffsets.length - 1]],
    [
      "tokenTypes and tokens",
      tokenTypes === undefined || (isTyped(tokenTypes, "Int32Array") && tokenTypes.length === tokens?.length),
    ],
    ["targets and tokens", targets?.length === 0 || targets?.length === tokens?.length],
    [
      "ids, texts and size",
      Array.isArray(ids) &&
        ids.length === size &&
        Array.isArray(texts) &&
        texts.length === size &&
        typeof hash === "string",
    ],
  ];
  return checks.find(([, passes]) => !passes)?.[0];
}
