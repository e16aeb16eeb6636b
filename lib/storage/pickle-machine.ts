// The state of the pickle machine: its stack, its marks, what it keeps, and how it takes bytes, each within bounds.
import { AttributionError } from "../errors";
import { corrupt } from "./listing";

export interface PickledStorage {
  readonly kind: "storage";
  readonly dtype: string;
  readonly key: string;
  readonly elements: number;
  /** Its first element within the stored one of that key. */
  readonly first: number;
}
export interface PickledTensor {
  readonly kind: "tensor";
  readonly storage: PickledStorage;
  /** In elements, from the storage's start. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}
export interface PickledGlobal {
  readonly kind: "global";
  readonly name: string;
}
export interface PickledDict {
  readonly kind: "dict";
  readonly entries: Map<Pickled, Pickled>;
}
export type Pickled =
  null | boolean | number | string | Pickled[] | PickledStorage | PickledTensor | PickledGlobal | PickledDict;

export const longestText = 1 << 16;
export const longestName = 256;
/** Bounds the memory that a small hostile pickle can ask for; a tensor takes eight. */
export const mostObjects = 1_000_000;
/** Bounds what one operation does, and with it the time for which it holds the event loop. Python fills a thousand entries at once. */
export const mostAtOnce = 1 << 16;
/** Numbers under which values are kept; a tensor takes about ten. */
export const mostKept = 1 << 19;
/** Entries of a dictionary: its table grows at once. */
export const mostEntries = 1 << 16;
export const deepestMark = 1_000;

export interface Machine {
  readonly file: string;
  readonly bytes: Buffer;
  at: number;
  stack: Pickled[];
  readonly outer: Pickled[][];
  readonly memo: (Pickled | undefined)[];
  objects: number;
}

export function unsupported(file: string, words: string): AttributionError {
  return new AttributionError(
    "unsupported",
    `${file}: ${words}. Load it in Python and save its tensors alone, best with safetensors`,
  );
}

export type Kinds = PickledStorage | PickledTensor | PickledGlobal | PickledDict;
export function isKind<K extends Kinds["kind"]>(
  value: Pickled | undefined,
  kind: K,
): value is Extract<Kinds, { kind: K }> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && value.kind === kind;
}

export function take(machine: Machine, length: number): Buffer {
  if (length > machine.bytes.length - machine.at) throw corrupt(machine.file, "its pickle ends too early");
  machine.at += length;
  return machine.bytes.subarray(machine.at - length, machine.at);
}

export function pop(machine: Machine): Pickled {
  const value = machine.stack.pop();
  if (value === undefined) throw corrupt(machine.file, "its pickle takes more than it has");
  return value;
}

export function push(machine: Machine, value: Pickled): void {
  if (typeof value === "object" && ++machine.objects > mostObjects)
    throw unsupported(machine.file, `its pickle makes more than ${mostObjects} objects`);
  if (machine.stack.length >= mostAtOnce)
    throw unsupported(machine.file, `its pickle puts more than ${mostAtOnce} values together`);
  machine.stack.push(value);
}

/** Remembers the newest value under a number. */
export function keep(machine: Machine, index: number): void {
  const value = machine.stack.at(-1);
  if (value === undefined) throw corrupt(machine.file, "its pickle keeps what it does not have");
  if (index >= mostKept) throw unsupported(machine.file, `its pickle keeps more than ${mostKept} values`);
  while (machine.memo.length < index) machine.memo.push(undefined); // an array without holes
  machine.memo[index] = value;
}

/** Sets entries of the newest dictionary: a key, its value, and so on. */
export function setItems(machine: Machine, items: readonly Pickled[]): void {
  const target = machine.stack.at(-1);
  if (!isKind(target, "dict") || items.length % 2 !== 0)
    throw unsupported(machine.file, "its pickle fills something that is no dictionary");
  for (let i = 0; i < items.length; i += 2) target.entries.set(items[i], items[i + 1]);
  if (target.entries.size > mostEntries)
    throw unsupported(machine.file, `its pickle fills a dictionary with more than ${mostEntries} entries`);
}

export function mark(machine: Machine): void {
  if (machine.outer.length >= deepestMark)
    throw unsupported(machine.file, `its pickle is nested deeper than ${deepestMark}`);
  machine.outer.push(machine.stack);
  machine.stack = [];
}

/** What was pushed since the last mark. */
export function popMark(machine: Machine): Pickled[] {
  const items = machine.stack;
  const outer = machine.outer.pop();
  if (outer === undefined) throw corrupt(machine.file, "its pickle has no mark");
  machine.stack = outer;
  return items;
}

export function takeText(machine: Machine, length: number): void {
  if (length > machine.bytes.length - machine.at) throw corrupt(machine.file, "its pickle ends too early");
  if (length > longestText) throw unsupported(machine.file, `its pickle has a text of ${length} bytes`);
  push(machine, take(machine, length).toString("utf8"));
}

/** A 64-bit length, as far as a number counts; longer ones end beyond every file. */
export function takeLength(machine: Machine): number {
  return Number(take(machine, 8).readBigUInt64LE());
}

export function takeLine(machine: Machine): string {
  const end = machine.bytes.indexOf(0x0a, machine.at);
  if (end < 0 || end - machine.at > longestName)
    throw corrupt(machine.file, "its pickle names a global that does not end");
  return take(machine, end + 1 - machine.at)
    .toString("latin1")
    .slice(0, -1);
}
