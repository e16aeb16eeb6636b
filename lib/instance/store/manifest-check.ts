// Whether what a store's manifest says can be: whoever can write the folder can write a manifest with a right seal.
import { precisions, projectionNames } from "./options";

type Value = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Value =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown, least: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= least;
/** No part of a store is larger: rows and widths travel as 32-bit numbers. */
const most = 0x7fffffff;

/** The name of the first field that no store has that way, or undefined. */
export function faultyField(store: unknown): string | undefined {
  if (!isObject(store)) return "store";
  const { settings, precision, rowsPerShard, batchTokens, segments, modelHash, dtype, versions, parts } = store;
  const checks: readonly (readonly [string, boolean])[] = [
    ["settings", isSettings(settings)],
    ["precision", (precisions as readonly unknown[]).includes(precision)],
    ["rowsPerShard", isCount(rowsPerShard, 1) && rowsPerShard <= most],
    ["batchTokens", isCount(batchTokens, 1)],
    ["segments", isObject(settings) && areSegments(segments, settings)],
    ["modelHash", isText(modelHash)],
    ["dtype", isText(dtype)],
    ["versions", isObject(versions) && isText(versions["attribution"]) && isText(versions["libtorch"])],
    ["parts", Array.isArray(parts) && parts.length > 0 && parts.every(isPart)],
  ];
  return checks.find(([, passes]) => !passes)?.[0];
}

function isSettings(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { modules, rank, projection, mask, basis, seed, reduction } = value;
  return (
    Array.isArray(modules) &&
    modules.length > 0 &&
    modules.every(isText) &&
    isCount(rank, 0) &&
    (projectionNames as readonly unknown[]).includes(projection) &&
    isCount(mask, 0) &&
    isText(basis) &&
    isCount(seed, 0) &&
    (reduction === "sum" || reduction === "mean")
  );
}

/** First feature of each module (of all together, with "dense"), rising, and the width. */
function areSegments(value: unknown, { modules, projection }: Value): boolean {
  const count = projection === "dense" ? 1 : Array.isArray(modules) ? modules.length : 0;
  return (
    Array.isArray(value) &&
    value.length === count + 1 &&
    value[0] === 0 &&
    value.every((begin, i) => isCount(begin, 0) && begin <= most && (i === 0 || begin > (value[i - 1] as number)))
  );
}

/** Names are only those that a store gives: nothing outside its folder is ever opened. */
function isPart(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { dataHash, rows, idFile, shards } = value;
  if (!isText(dataHash) || !isCount(rows, 1) || rows > most || !isText(idFile) || !Array.isArray(shards)) return false;
  const total = shards.reduce((sum: number, shard: unknown) => (isShard(shard) ? sum + shard.rows : NaN), 0);
  return /^ids-\d+\.safetensors$/.test(idFile) && total === rows;
}

function isShard(value: unknown): value is { readonly rows: number } {
  return (
    isObject(value) &&
    isText(value["file"]) &&
    /^features-\d+\.safetensors$/.test(value["file"]) &&
    isCount(value["rows"], 1) &&
    isText(value["sha256"])
  );
}
