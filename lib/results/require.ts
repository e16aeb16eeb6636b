// Whether a value is a result of a kind. Every function that takes one asks first, in constant time; layout.ts has the whole check.
import type { SubsetOutputs } from "../../types/analysis";
import type { Attribution, InstanceAttribution, JointAttribution, NeuronAttribution } from "../../types/results";
import type { InstanceScores, TopInstances } from "../../types/store";
import { expected } from "../errors";
import { isTyped } from "../options";

const makers = {
  instances: "an InstanceAttribution (e.g. from gradientSimilarity or load)",
  neurons: "a NeuronAttribution (e.g. from integratedGradients or load)",
};

/** "invalid" for anything but an instance attribution whose parts have the lengths that they must have. */
export function requireInstanceAttribution(value: unknown, name: string): asserts value is InstanceAttribution {
  if (!isInstances(value)) throw expected(name, makers.instances, value);
}

/** The same for a neuron attribution. */
export function requireNeuronAttribution(value: unknown, name: string): asserts value is NeuronAttribution {
  if (!isNeurons(value)) throw expected(name, makers.neurons, value);
}

/** The same for an instance attribution, whole or the best of each query only. */
export function requireInstanceScores(value: unknown, name: string): asserts value is InstanceScores {
  if (!isInstances(value) && !isTopInstances(value))
    throw expected(name, `${makers.instances}, or the TopInstances of one`, value);
}

/** The same for any of them. */
export function requireScores(value: unknown, name: string): asserts value is Attribution | TopInstances {
  if (!isInstances(value) && !isNeurons(value) && !isTopInstances(value))
    throw expected(name, "an InstanceAttribution, a TopInstances or a NeuronAttribution", value);
}

/** "invalid" for anything but a joint attribution whose parts have the lengths that they must have. */
export function requireJoint(value: unknown, name: string): asserts value is JointAttribution {
  if (!isJoint(value)) throw expected(name, "a JointAttribution (from jointAttribution or load)", value);
}

export function isJoint(value: unknown): value is JointAttribution {
  if (!isObject(value)) return false;
  const { kind, queries, train, layers, units, pairs, k, provenance, ...own } = value as JointAttribution;
  return (
    kind === "joint" &&
    hasLength(own.queryIds, queries) &&
    hasLength(own.trainIds, train) &&
    isArray(own.queryIndices, "Int32Array", pairs) &&
    isArray(own.trainIndices, "Int32Array", pairs) &&
    isArray(own.scores, "Float64Array", pairs) &&
    isTyped(own.indices, "Int32Array") &&
    isArray(own.parts, "Float64Array", own.indices.length) &&
    (own.indices.length === 0 || own.indices.length === pairs * k) &&
    isArray(own.unitSums, "Float64Array", queries, layers, units) &&
    isObject(provenance)
  );
}

/**
 * "invalid" for what no function of this library returns: nothing at all, no plain data, a list with entries that are none, and what
 * says its kind without being whole. Results without a kind (curves, counts, correlations) are any plain object.
 */
export function requireResult(value: unknown, name: string): asserts value is object {
  if (!isResult(value)) throw expected(name, "a result (an attribution, a curve, or a list such as top's)", value);
}

function isResult(value: unknown): boolean {
  if (!isObject(value)) return false;
  if (Array.isArray(value)) return value.every((entry) => entry !== null && entry !== undefined);
  if (ArrayBuffer.isView(value)) return true;
  if (Object.prototype.toString.call(value) !== "[object Object]" || Object.keys(value).length === 0) return false;
  const { kind, provenance } = value as { readonly kind?: unknown; readonly provenance?: unknown };
  if (typeof kind !== "string") return true;
  return Object.hasOwn(wholeByKind, kind) ? wholeByKind[kind](value) : isObject(provenance);
}

const wholeByKind: Readonly<Record<string, (value: unknown) => boolean>> = {
  instances: isInstances,
  topInstances: isTopInstances,
  neurons: isNeurons,
  joint: isJoint,
};

function isInstances(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { kind, scores, queries, train, queryIds, trainIds, provenance } = value as InstanceAttribution;
  return (
    kind === "instances" &&
    isArray(scores, "Float32Array", queries, train) &&
    hasLength(queryIds, queries) &&
    hasLength(trainIds, train) &&
    isObject(provenance)
  );
}

function isTopInstances(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { kind, scores, indices, queries, k, train, queryIds, trainIds, provenance } = value as TopInstances;
  return (
    kind === "topInstances" &&
    isArray(scores, "Float32Array", queries, k) &&
    isArray(indices, "Int32Array", queries, k) &&
    hasLength(queryIds, queries) &&
    hasLength(trainIds, train) &&
    isObject(provenance)
  );
}

function isNeurons(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { kind, scores, instances, layers, units, site, instanceIds, provenance } = value as NeuronAttribution;
  return (
    kind === "neurons" &&
    isArray(scores, "Float32Array", instances, layers, units) &&
    hasLength(instanceIds, instances) &&
    isObject(provenance) &&
    (site === "neurons" || site === "heads" || site === "both")
  );
}

/** "invalid" for anything but the outputs of subset models whose parts have the lengths that they must have. */
export function requireOutputs(value: unknown, name: string): asserts value is SubsetOutputs {
  const { subsets, train, queries, masks, values, trainIds, queryIds } = (
    isObject(value) ? value : {}
  ) as Partial<SubsetOutputs>;
  const isWhole =
    isArray(masks, "Uint8Array", subsets, train) &&
    isArray(values, "Float64Array", subsets, queries) &&
    hasLength(trainIds, train!) &&
    hasLength(queryIds, queries!);
  if (!isWhole) throw expected(name, "SubsetOutputs from subsetOutputs or leaveOneOutOutputs", value);
}

/** Whether the value is an array of that type with the product of the sizes as its length; a size that is no count is none. */
function isArray(value: unknown, type: Parameters<typeof isTyped>[1], ...sizes: readonly unknown[]): boolean {
  const counts = sizes.filter((size): size is number => Number.isSafeInteger(size));
  return (
    counts.length === sizes.length &&
    isTyped(value, type) &&
    value.length === counts.reduce((product, size) => product * size, 1)
  );
}

function hasLength(list: unknown, length: number): boolean {
  return Array.isArray(list) && list.length === length;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
