// What each kind of result looks like on disk: axes and shapes of its arrays, and the check that a loaded one is whole.
import type { Provenance } from "../../types/results";

/** Anything that can be saved: a result with its provenance. */
export interface StorableResult {
  readonly provenance: Provenance;
}

export const sign = "positive: the training instance lowers the query's loss, or the unit raises the target";

/** Names the axes of each array, outermost first; an axis is the field that counts it. */
const axesByKind: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  instances: { scores: ["queries", "train"] },
  neurons: {
    scores: ["instances", "layers", "units"],
    targetValues: ["instances"],
    targetLabels: ["instances"],
    completenessGap: ["instances", "layers"],
    unitErrors: ["instances", "layers"],
  },
  joint: {
    queryIndices: ["pairs"],
    trainIndices: ["pairs"],
    scores: ["pairs"],
    others: ["pairs"],
    rest: ["pairs"],
    indices: ["pairs", "k"],
    parts: ["pairs", "k"],
    unitSums: ["queries", "layers", "units"],
    restSums: ["queries"],
  },
};

/** Attributions have their own `kind`; a test result goes by its test's name; anything else is "result". */
export function kindOf(result: object): string {
  const { kind, test } = result as { kind?: unknown; test?: unknown };
  return typeof kind === "string" ? kind : typeof test === "string" ? test : "result";
}

export function axesOf(kind: string): Readonly<Record<string, readonly string[]>> {
  return (Object.hasOwn(axesByKind, kind) ? axesByKind[kind] : undefined) ?? {};
}

/** The array's shape by the result's counts; flat where its axes are unknown or it is empty. */
export function shapeOf(result: object, name: string, length: number): number[] {
  const axes = axesOf(kindOf(result))[name];
  const shape = axes?.map((axis) => sizeOf((result as Record<string, unknown>)[axis]));
  return shape !== undefined && shape.reduce((product, size) => product * size, 1) === length ? shape : [length];
}

/** NaN for what is no number. `Number()` would read its text, which a detached array does not give. */
const sizeOf = (value: unknown): number => (typeof value === "number" ? value : Number.NaN);
const isText = (value: unknown) => typeof value === "string";
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isTexts = (value: unknown, length: unknown) =>
  Array.isArray(value) && value.length === length && value.every(isText);
const isArray = (value: unknown, type: string, ...lengths: readonly number[]) =>
  Object.prototype.toString.call(value) === `[object ${type}]` && lengths.includes((value as Float32Array).length);

/** The name of the first field that a result of its kind cannot have that way, or undefined. */
export function faultyField(result: Record<string, unknown>): string | undefined {
  const checks = [...provenanceChecks(result), ...(checksByKind[kindOf(result)]?.(result) ?? [])];
  return checks.find(([, passes]) => !passes)?.[0];
}

type Checks = readonly (readonly [field: string, passes: boolean])[];

function provenanceChecks({ provenance }: Record<string, unknown>): Checks {
  if (!isObject(provenance)) return [["provenance", false]];
  const { method, options, modelHash, modelSource, dataHashes, versions, dtype } = provenance;
  return [
    ["provenance.method", isText(method)],
    ["provenance.options", isObject(options)],
    ["provenance.modelHash", isText(modelHash)],
    [
      "provenance.modelSource",
      modelSource === undefined || (isObject(modelSource) && Object.values(modelSource).every(isText)),
    ],
    ["provenance.dataHashes", isObject(dataHashes) && Object.values(dataHashes).every(isText)],
    ["provenance.versions", isObject(versions) && Object.values(versions).every(isText)],
    ["provenance.dtype", isText(dtype)],
  ];
}

const checksByKind: Readonly<Record<string, (result: Record<string, unknown>) => Checks>> = {
  instances: ({ queries, train, queryIds, trainIds, scores, unit }) => [
    ["queries", isCount(queries)],
    ["train", isCount(train)],
    ["queryIds", isTexts(queryIds, queries)],
    ["trainIds", isTexts(trainIds, train)],
    ["scores", isArray(scores, "Float32Array", sizeOf(queries) * sizeOf(train))],
    ["unit", isText(unit)],
  ],
  neurons: ({
    instances,
    layers,
    units,
    site,
    instanceIds,
    scores,
    targetValues,
    targetLabels,
    completenessGap,
    unitErrors,
    unit,
  }) => [
    ["instances", isCount(instances)],
    ["layers", isCount(layers)],
    ["units", isCount(units)],
    ["site", site === "neurons" || site === "heads" || site === "both"],
    ["instanceIds", isTexts(instanceIds, instances)],
    ["scores", isArray(scores, "Float32Array", sizeOf(instances) * sizeOf(layers) * sizeOf(units))],
    ["targetValues", isArray(targetValues, "Float64Array", sizeOf(instances))],
    ["targetLabels", isArray(targetLabels, "Int32Array", sizeOf(instances))],
    ["completenessGap", isArray(completenessGap, "Float64Array", 0, sizeOf(instances) * sizeOf(layers))],
    ["unitErrors", unitErrors === undefined || isArray(unitErrors, "Float64Array", sizeOf(instances) * sizeOf(layers))],
    ["unit", isText(unit)],
  ],
  joint: (result) => {
    const { queries, train, layers, units, neurons, site, pairs, k, queryIds, trainIds } = result;
    const [all, kept] = [sizeOf(pairs), sizeOf(pairs) * sizeOf(k)];
    const within = (list: unknown, end: number) => (list as Int32Array).every((index) => index >= 0 && index < end);
    const isIndex = (name: string, end: unknown, ...lengths: number[]): readonly [string, boolean] => [
      name,
      isArray(result[name], "Int32Array", ...lengths) && within(result[name], sizeOf(end)),
    ];
    const isDouble = (name: string, ...lengths: number[]): readonly [string, boolean] => [
      name,
      isArray(result[name], "Float64Array", ...lengths),
    ];
    return [
      ["queries", isCount(queries)],
      ["train", isCount(train)],
      ["layers", isCount(layers)],
      ["units", isCount(units)],
      ["neurons", isCount(neurons) && sizeOf(neurons) <= sizeOf(units)],
      ["pairs", isCount(pairs)],
      ["k", isCount(k)],
      ["site", site === "neurons" || site === "heads" || site === "both"],
      ["queryIds", isTexts(queryIds, queries)],
      ["trainIds", isTexts(trainIds, train)],
      isIndex("queryIndices", queries, all),
      isIndex("trainIndices", train, all),
      isIndex("indices", sizeOf(layers) * sizeOf(units), 0, kept),
      isDouble("parts", 0, kept),
      isDouble("scores", all),
      isDouble("others", 0, all),
      isDouble("rest", 0, all),
      isDouble("unitSums", sizeOf(queries) * sizeOf(layers) * sizeOf(units)),
      isDouble("restSums", sizeOf(queries)),
      ["unit", isText(result["unit"])],
    ];
  },
};
