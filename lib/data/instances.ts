// Instances: encoded examples as ragged rows in typed arrays, made, joined and selected by pure functions. Layout: see
// types/data.ts. Knows no text and no tokenizer.
import { createHash } from "node:crypto";
import type { HeadKind } from "../../types/architecture";
import type { AddedIds, Instances } from "../../types/data";
import { AttributionError, expected } from "../errors";
import { listOf, oneOf, onlyKnown } from "../options";
import { atOnce, inSlices, type Pace, type Steps } from "../pacing";
import { isList } from "./dataset";
import { requireInstances } from "./require-instances";

/** Marks a position that predicts nothing that counts, in `targets`. */
export const noTarget = -100;

export interface InstanceRows {
  readonly kind: HeadKind;
  /** Token ids of each row, in order; "choice": all rows of an instance one after the other. */
  readonly rows: readonly ArrayLike<number>[];
  /** "choice" only: rows of each instance. */
  readonly groups?: ArrayLike<number>;
  /** Per instance: class, choice, or next token; a masked LM's follow from `targets`. @default −1 each (unknown) */
  readonly labels?: ArrayLike<number>;
  /**
   * Per row what each position must predict. Causal LM: by default the next token; at the last position the label, if known. Masked
   * LM: −100 at all positions but the masked one, which has its token, or −1 where it is not known; has no default.
   */
  readonly targets?: readonly ArrayLike<number>[];
  /** Encoders: per row the type of each token. @default 0 each */
  readonly tokenTypes?: readonly ArrayLike<number>[];
  /** @default "0", "1", … */
  readonly ids?: readonly string[];
  /** @default "" each */
  readonly texts?: readonly string[];
}

/**
 * Instances from token ids of your own. Checks shapes and ranges, copies, and takes the fingerprint.
 * @example createInstances({ kind: "classification", rows: [[2, 5, 6], [2, 7]], labels: [0, 1] })
 */
export function createInstances(given: InstanceRows): Instances {
  if (given === undefined) throw expected("given", "an object with kind and rows", given);
  onlyKnown(given, ["kind", "rows", "groups", "labels", "targets", "tokenTypes", "ids", "texts"]);
  const kind = oneOf({ ...given }, "kind", "causalLM", ["causalLM", "maskedLM", "classification", "choice"]);
  const rows = checkedRows(given.rows);
  const groups = checkedGroups(kind, given.groups, rows.length);
  const size = groups.length;
  const known = kind === "maskedLM" ? maskedLabels(given, rows) : given.labels;
  const labels = whole(
    "labels",
    ofLength("labels", known ?? new Int32Array(size).fill(-1), size),
    -1,
    "−1 (unknown), or a class, choice or token",
  );
  checkLabels(kind, labels, groups);
  const speaks = kind === "causalLM" || kind === "maskedLM";
  const targets = speaks ? checkedTargets(given.targets, rows, labels, kind) : [];
  if (!speaks && given.targets !== undefined)
    throw new AttributionError("invalid", `"targets" is for language models, not for "${kind}"`);
  const tokenTypes = checkedTypes(given.tokenTypes, rows);
  const ids = strings("ids", given.ids ?? Array.from({ length: size }, (_, index) => String(index)), size);
  const texts = strings("texts", given.texts ?? new Array<string>(size).fill(""), size);
  return atOnce(laying({ kind, rows, groups, labels, targets, tokenTypes, ids, texts }));
}

/** Instances in parts: checked rows, not yet laid out. */
export interface CheckedInstances {
  readonly kind: HeadKind;
  readonly rows: readonly Int32Array[];
  /** Rows of each instance. */
  readonly groups: readonly number[];
  readonly labels: ArrayLike<number>;
  /** One per row, or none. */
  readonly targets: readonly Int32Array[];
  /** One per row, or absent where all are 0. */
  readonly tokenTypes?: readonly Int32Array[];
  readonly added?: AddedIds;
  readonly ids: readonly string[];
  readonly texts: readonly string[];
}

/** Lays checked rows out, giving the event loop back on the way. */
export function layInstances(checked: CheckedInstances, pace: Pace): Promise<Instances> {
  return inSlices(laying(checked), pace);
}

function* laying(checked: CheckedInstances): Steps<Instances> {
  const { kind, rows, groups, labels, targets, tokenTypes, added, ids, texts } = checked;
  const laid = {
    tokens: yield* joining(rows),
    rowOffsets: offsetsOf(rows.map((row) => row.length)),
    targets: yield* joining(targets),
    ...(tokenTypes === undefined ? {} : { tokenTypes: yield* joining(tokenTypes) }),
  };
  return yield* hashing({
    kind,
    size: groups.length,
    ...laid,
    groupOffsets: offsetsOf(groups),
    labels: Int32Array.from(labels),
    ...(added === undefined ? {} : { added }),
    ids,
    texts,
  });
}

/**
 * The instances at `indices`, in that order; an index may come several times.
 * @example const heldOut = selectInstances(train, [0, 5, 7]);
 */
export function selectInstances(instances: Instances, indices: ArrayLike<number>): Instances {
  requireInstances(instances, "instances");
  const chosen = listOf("indices", "a list of indices", indices);
  if (chosen.length === 0) throw expected("indices", "at least one index", indices);
  const { rowOffsets, groupOffsets } = instances;
  const rows: [number, number][] = [];
  for (const index of chosen) {
    if (!Number.isInteger(index) || index < 0 || index >= instances.size)
      throw expected("indices", `whole numbers within 0–${instances.size - 1}`, index);
    for (let row = groupOffsets[index]; row < groupOffsets[index + 1]; row++)
      rows.push([rowOffsets[row], rowOffsets[row + 1]]);
  }
  const { tokens, targets, tokenTypes, labels, added, ids, texts } = instances;
  return atOnce(
    laying({
      kind: instances.kind,
      rows: rows.map(([start, end]) => tokens.subarray(start, end)),
      groups: chosen.map((index) => groupOffsets[index + 1] - groupOffsets[index]),
      labels: chosen.map((index) => labels[index]),
      targets: targets.length === 0 ? [] : rows.map(([start, end]) => targets.subarray(start, end)),
      ...(tokenTypes === undefined ? {} : { tokenTypes: rows.map(([start, end]) => tokenTypes.subarray(start, end)) }),
      ...(added === undefined ? {} : { added }),
      ids: chosen.map((index) => ids[index]),
      texts: chosen.map((index) => texts[index]),
    }),
  );
}

/**
 * All instances of several sets, one set after the other; all of one kind.
 * @example const all = concatInstances([train, heldOut]);
 */
export function concatInstances(sets: readonly Instances[]): Instances {
  if (!isList(sets) || sets.length === 0) throw expected("sets", "a list of at least one set of instances", sets);
  sets.forEach((set, at) => requireInstances(set, `sets[${at}]`));
  const [first] = sets;
  const other = sets.find((set) => set.kind !== first.kind);
  if (other !== undefined)
    throw new AttributionError(
      "mismatch",
      `Cannot join instances for "${first.kind}" with instances for "${other.kind}"`,
    );
  return atOnce(
    hashing({
      kind: first.kind,
      size: sets.reduce((sum, set) => sum + set.size, 0),
      tokens: atOnce(joining(sets.map((set) => set.tokens))),
      rowOffsets: joinedOffsets(sets.map((set) => set.rowOffsets)),
      groupOffsets: joinedOffsets(sets.map((set) => set.groupOffsets)),
      labels: atOnce(joining(sets.map((set) => set.labels))),
      targets: atOnce(joining(sets.map((set) => set.targets))),
      ...(sets.every(({ tokenTypes }) => tokenTypes === undefined)
        ? {}
        : { tokenTypes: atOnce(joining(sets.map(typesOf))) }),
      ...(sets.every(({ added }) => JSON.stringify(added) === JSON.stringify(first.added)) && first.added !== undefined
        ? { added: first.added }
        : {}),
      ids: sets.flatMap((set) => set.ids),
      texts: sets.flatMap((set) => set.texts),
    }),
  );
}

const rowsPerStep = 4096;
const tokensPerStep = 1 << 20;

/** Freezes laid-out instances with their fingerprint. */
function* hashing(instances: Omit<Instances, "hash">): Steps<Instances> {
  const { kind, tokens, rowOffsets, groupOffsets, labels, targets, tokenTypes } = instances;
  const hash = createHash("sha256").update(kind);
  const types = tokenTypes === undefined ? [] : [tokenTypes];
  for (const part of [tokens, rowOffsets, groupOffsets, labels, targets, ...types]) {
    hash.update(`\n${part.length}\n`);
    for (let at = 0; at < part.length; at += tokensPerStep) {
      const slice = part.subarray(at, at + tokensPerStep);
      hash.update(new Uint8Array(slice.buffer, slice.byteOffset, slice.byteLength));
      yield;
    }
  }
  const frozen = { ids: Object.freeze([...instances.ids]), texts: Object.freeze([...instances.texts]) };
  return Object.freeze({ ...instances, ...frozen, hash: hash.digest("hex") });
}

/** A set's token types, 0 where it has none. */
function typesOf({ tokens, tokenTypes }: Instances): Int32Array {
  return tokenTypes ?? new Int32Array(tokens.length);
}

function* joining(parts: readonly Int32Array[]): Steps<Int32Array> {
  const joined = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const [index, part] of parts.entries()) {
    joined.set(part, at);
    at += part.length;
    if (index % rowsPerStep === 0) yield;
  }
  return joined;
}

function offsetsOf(lengths: readonly number[]): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  let sum = 0;
  for (const [index, length] of lengths.entries()) {
    sum += length;
    offsets[index + 1] = sum;
  }
  if (sum > 0x7fffffff)
    throw new AttributionError(
      "unsupported",
      `${sum} tokens are more than a set of instances can hold (${0x7fffffff}); split it`,
    );
  return offsets;
}

function joinedOffsets(parts: readonly Int32Array[]): Int32Array {
  return offsetsOf(parts.flatMap((offsets) => Array.from(offsets.subarray(1), (end, index) => end - offsets[index])));
}

function checkedRows(rows: readonly ArrayLike<number>[]): Int32Array[] {
  if (!Array.isArray(rows) || rows.length === 0) throw expected("rows", "at least one row of token ids", rows);
  return (rows as readonly ArrayLike<number>[]).map((row, index) => {
    if (typeof row !== "object" || row === null || !(row.length > 0))
      throw expected(`rows[${index}]`, "a row with at least one token", row);
    return whole(`rows[${index}]`, row, 0, "token ids (whole numbers of at least 0)");
  });
}

function whole(name: string, values: ArrayLike<number>, min: number, what: string): Int32Array {
  const checked = Int32Array.from(values);
  for (let index = 0; index < checked.length; index++) {
    if (checked[index] !== values[index] || checked[index] < min)
      throw expected(`${name}[${index}]`, what, values[index]);
  }
  return checked;
}

function checkedGroups(kind: HeadKind, groups: ArrayLike<number> | undefined, rows: number): number[] {
  if (kind !== "choice") {
    if (groups !== undefined) throw new AttributionError("invalid", `"groups" is for "choice", not for "${kind}"`);
    return new Array<number>(rows).fill(1);
  }
  if (groups === undefined) throw expected("groups", "the number of rows of each instance", groups);
  const checked = Array.from(whole("groups", groups, 1, "a whole number of at least 1"));
  const sum = checked.reduce((total, group) => total + group, 0);
  if (sum !== rows)
    throw new AttributionError("invalid", `Expected "groups" to add up to the ${rows} rows but they add up to ${sum}`);
  return checked;
}

function checkLabels(kind: HeadKind, labels: Int32Array, groups: readonly number[]): void {
  if (kind !== "choice") return;
  for (const [index, label] of labels.entries()) {
    if (label >= groups[index]) throw expected(`labels[${index}]`, `within −1–${groups[index] - 1}`, label);
  }
}

/** The token at each row's masked position, −1 where it is not known. */
function maskedLabels({ labels, targets }: InstanceRows, rows: readonly Int32Array[]): number[] {
  if (targets === undefined)
    throw expected(
      "targets",
      "for each row −100 at all positions but the masked one, which has its token or −1",
      targets,
    );
  if (labels !== undefined) throw expected("labels", "left out for a masked LM: they follow from its targets", labels);
  return Array.from(ofLength("targets", targets, rows.length), (given, index) => {
    const masked = Array.from(given).filter((target) => target !== noTarget);
    if (masked.length === 1) return masked[0];
    throw expected(`targets[${index}]`, `exactly one position other than ${noTarget}, the masked one`, given);
  });
}

function checkedTypes(
  types: readonly ArrayLike<number>[] | undefined,
  rows: readonly Int32Array[],
): readonly Int32Array[] | undefined {
  if (types === undefined) return undefined;
  return Array.from(ofLength("tokenTypes", types, rows.length), (given, index) => {
    const name = `tokenTypes[${index}]`;
    return whole(name, ofLength(name, given, rows[index].length), 0, "token types (whole numbers of at least 0)");
  });
}

function checkedTargets(
  targets: readonly ArrayLike<number>[] | undefined,
  rows: readonly Int32Array[],
  labels: Int32Array,
  kind: HeadKind,
): Int32Array[] {
  if (targets === undefined) return rows.map((row, index) => nextTokens(row, labels[index]));
  return Array.from(ofLength("targets", targets, rows.length), (given, index) => {
    const name = `targets[${index}]`;
    const checked = whole(name, ofLength(name, given, rows[index].length), noTarget, `a token id or ${noTarget}`);
    const unknown = kind === "maskedLM" ? -1 : noTarget;
    const bad = checked.find((target) => target < 0 && target !== noTarget && target !== unknown);
    if (bad !== undefined) throw expected(name, `token ids or ${noTarget}`, bad);
    return checked;
  });
}

/** What each position of a row must predict: the next token; at the last position the label, where it is known. */
export function nextTokens(row: Int32Array, label: number): Int32Array {
  const targets = new Int32Array(row.length);
  targets.set(row.subarray(1));
  targets[row.length - 1] = label >= 0 ? label : noTarget;
  return targets;
}

function ofLength<T>(name: string, values: ArrayLike<T>, length: number): ArrayLike<T> {
  if (typeof values === "object" && values !== null && values.length === length) return values;
  throw new AttributionError(
    "invalid",
    `Expected "${name}" to have ${length} entries but received ${String((values as ArrayLike<T> | null)?.length)}`,
  );
}

function strings(name: string, values: readonly string[], length: number): readonly string[] {
  const wrong = Array.from(ofLength(name, values, length)).find((value) => typeof value !== "string");
  if (wrong !== undefined) throw expected(name, "an array of strings", wrong);
  return values;
}
