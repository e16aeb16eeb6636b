// Instances made from lists of token ids, one row each (or several for a listwise instance).
import type { Instances } from "../../types/data";

export function instancesFrom(
  groups: readonly (readonly number[] | readonly (readonly number[])[])[],
  prefix = "i",
): Instances {
  const rows = groups.map((group) => (Array.isArray(group[0]) ? group : [group]) as number[][]);
  const flat = rows.flat();
  const offsets = (lengths: readonly number[]) =>
    Int32Array.from([0, ...lengths.map((_, at) => lengths.slice(0, at + 1).reduce((a, b) => a + b, 0))]);
  return {
    kind: "classification",
    size: groups.length,
    tokens: Int32Array.from(flat.flat()),
    rowOffsets: offsets(flat.map((row) => row.length)),
    groupOffsets: offsets(rows.map((group) => group.length)),
    labels: new Int32Array(groups.length),
    targets: new Int32Array(0),
    ids: groups.map((_, at) => `${prefix}${at}`),
    texts: groups.map((group) => String(group)),
    hash: `${prefix}-hash`,
  };
}
