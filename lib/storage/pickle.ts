// A pickle machine for torch.save's state dictionaries. It builds plain data and calls nothing: the few globals that
// rebuild tensors are known by name, and every other one is refused, so that no pickle can run code here.
import { corrupt } from "./listing";
import { pacer } from "../pacing";

export interface PickledStorage {
  readonly kind: "storage";
  readonly dtype: string;
  readonly key: string;
  readonly elements: number;
}
export interface PickledTensor {
  readonly kind: "tensor";
  readonly storage: PickledStorage;
  /** In elements, from the storage's start. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}
interface PickledGlobal {
  readonly kind: "global";
  readonly name: string;
}
interface PickledDict {
  readonly kind: "dict";
  readonly entries: Map<Pickled, Pickled>;
}
type Pickled =
  null | boolean | number | string | Pickled[] | PickledStorage | PickledTensor | PickledGlobal | PickledDict;

const storageTypes: ReadonlyMap<string, string> = new Map([
  ["torch.DoubleStorage", "F64"],
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.BoolStorage", "BOOL"],
  ["torch.ByteStorage", "U8"],
]);
const rebuildTensor = "torch._utils._rebuild_tensor_v2";
const rebuildParameter = "torch._utils._rebuild_parameter";
const orderedDict = "collections.OrderedDict";
const knownGlobals: readonly string[] = [rebuildTensor, rebuildParameter, orderedDict, ...storageTypes.keys()];
const longestText = 1 << 16;
/** Bounds the memory that a small hostile pickle can ask for; a tensor takes eight. */
const mostObjects = 1_000_000;
const deepestMark = 1_000;

interface Machine {
  readonly file: string;
  readonly bytes: Buffer;
  at: number;
  stack: Pickled[];
  readonly outer: Pickled[][];
  readonly memo: Map<number, Pickled>;
  objects: number;
}

/** Runs a pickle that makes a dictionary of tensors and lists it; "corrupt" for anything else. */
export async function unpickleTensors(file: string, bytes: Buffer): Promise<Map<string, PickledTensor>> {
  const machine: Machine = { file, bytes, at: 0, stack: [], outer: [], memo: new Map(), objects: 0 };
  const pace = pacer();
  for (let steps = 1; ; steps++) {
    const code = take(machine, 1)[0];
    if (code === 0x2e) break;
    const operation = operations.get(code);
    if (operation === undefined)
      throw corrupt(file, `its pickle has the operation 0x${code.toString(16)}, which no tensor needs`);
    operation(machine);
    if ((steps & 0x3ff) === 0) await pace();
  }
  return tensorsOf(file, pop(machine));
}

function tensorsOf(file: string, value: Pickled): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  if (!isKind(value, "dict")) throw corrupt(file, "its pickle is no dictionary of tensors");
  for (const [name, tensor] of value.entries) {
    if (typeof name !== "string") throw corrupt(file, "its pickle has a tensor whose name is no text");
    if (!isKind(tensor, "tensor")) throw corrupt(file, `its pickle holds "${name.slice(0, 80)}", which is no tensor`);
    tensors.set(name, tensor);
  }
  return tensors;
}

type Kinds = PickledStorage | PickledTensor | PickledGlobal | PickledDict;
function isKind<K extends Kinds["kind"]>(value: Pickled | undefined, kind: K): value is Extract<Kinds, { kind: K }> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && value.kind === kind;
}

function take(machine: Machine, length: number): Buffer {
  if (length > machine.bytes.length - machine.at) throw corrupt(machine.file, "its pickle ends too early");
  machine.at += length;
  return machine.bytes.subarray(machine.at - length, machine.at);
}

function pop(machine: Machine): Pickled {
  const value = machine.stack.pop();
  if (value === undefined) throw corrupt(machine.file, "its pickle takes more than it has");
  return value;
}

function push(machine: Machine, value: Pickled): void {
  if (typeof value === "object" && ++machine.objects > mostObjects)
    throw corrupt(machine.file, `its pickle makes more than ${mostObjects} objects`);
  machine.stack.push(value);
}

function mark(machine: Machine): void {
  if (machine.outer.length >= deepestMark)
    throw corrupt(machine.file, `its pickle is nested deeper than ${deepestMark}`);
  machine.outer.push(machine.stack);
  machine.stack = [];
}

/** What was pushed since the last mark. */
function popMark(machine: Machine): Pickled[] {
  const items = machine.stack;
  const outer = machine.outer.pop();
  if (outer === undefined) throw corrupt(machine.file, "its pickle has no mark");
  machine.stack = outer;
  return items;
}

function takeText(machine: Machine, length: number): void {
  if (length > longestText) throw corrupt(machine.file, `its pickle has a text of ${length} bytes`);
  push(machine, take(machine, length).toString("utf8"));
}

function takeLine(machine: Machine): string {
  const end = machine.bytes.indexOf(0x0a, machine.at);
  if (end < 0 || end - machine.at > 256) throw corrupt(machine.file, "its pickle names a global that does not end");
  return take(machine, end + 1 - machine.at)
    .toString("latin1")
    .slice(0, -1);
}

function takeGlobal(machine: Machine): void {
  const name = [takeLine(machine), takeLine(machine)].join(".");
  if (!knownGlobals.includes(name)) {
    throw corrupt(
      machine.file,
      `its pickle asks for "${name}", but a checkpoint needs nothing beyond what rebuilds tensors`,
    );
  }
  push(machine, { kind: "global", name });
}

function recall(machine: Machine, index: number): void {
  const value = machine.memo.get(index);
  if (value === undefined) throw corrupt(machine.file, "its pickle recalls what it never kept");
  push(machine, value);
}

function keep(machine: Machine, index: number): void {
  const value = machine.stack.at(-1);
  if (value === undefined) throw corrupt(machine.file, "its pickle keeps what it does not have");
  machine.memo.set(index, value);
}

function setItems(machine: Machine, items: readonly Pickled[]): void {
  const target = machine.stack.at(-1);
  if (!isKind(target, "dict") || items.length % 2 !== 0)
    throw corrupt(machine.file, "its pickle fills something that is no dictionary");
  for (let i = 0; i < items.length; i += 2) target.entries.set(items[i], items[i + 1]);
}

function append(machine: Machine, items: readonly Pickled[]): void {
  const target = machine.stack.at(-1);
  if (!Array.isArray(target)) throw corrupt(machine.file, "its pickle fills something that is no list");
  for (const item of items) target.push(item);
}

/** A call of one of the known globals, done on data. */
function reduce(machine: Machine): void {
  const [values, callee] = [pop(machine), pop(machine)];
  if (!isKind(callee, "global") || !Array.isArray(values))
    throw corrupt(machine.file, "its pickle calls something that is no function");
  if (callee.name === orderedDict && values.length === 0) return push(machine, { kind: "dict", entries: new Map() });
  if (callee.name === rebuildParameter && isKind(values[0], "tensor")) return push(machine, values[0]);
  if (callee.name === rebuildTensor) return push(machine, tensorOf(machine, values));
  throw corrupt(machine.file, `its pickle calls ${callee.name} with something else than a tensor`);
}

function tensorOf(machine: Machine, [storage, offset, shape, strides]: readonly Pickled[]): PickledTensor {
  const isSizes = (value: Pickled | undefined): value is number[] =>
    Array.isArray(value) &&
    value.length <= 8 &&
    value.every((size) => typeof size === "number" && Number.isSafeInteger(size) && size >= 0);
  if (
    !isKind(storage, "storage") ||
    !isSizes([offset ?? null]) ||
    !isSizes(shape) ||
    !isSizes(strides) ||
    shape.length !== strides.length
  ) {
    throw corrupt(
      machine.file,
      "its pickle rebuilds a tensor from something else than a storage, an offset, sizes and strides",
    );
  }
  return { kind: "tensor", storage, offset: offset as number, shape, strides };
}

/** Persistent ids name storages: ("storage", type, key, place, elements). */
function persistent(machine: Machine): void {
  const id = pop(machine);
  const [word, type, key, , elements] = Array.isArray(id) ? id : [];
  const dtype = isKind(type, "global") ? storageTypes.get(type.name) : undefined;
  if (
    word !== "storage" ||
    dtype === undefined ||
    typeof key !== "string" ||
    typeof elements !== "number" ||
    !Number.isSafeInteger(elements) ||
    elements < 0
  ) {
    throw corrupt(machine.file, "its pickle refers to something that is no storage");
  }
  push(machine, { kind: "storage", dtype, key, elements });
}

function takeLong(machine: Machine): void {
  const bytes = take(machine, take(machine, 1)[0]);
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  push(machine, Number(BigInt.asIntN(8 * bytes.length, value)));
}

/** Object state: the only object here is a dictionary, whose state (`_metadata`) is not needed. */
function build(machine: Machine): void {
  pop(machine);
  if (!isKind(machine.stack.at(-1), "dict"))
    throw corrupt(machine.file, "its pickle gives state to something that is no dictionary");
}

function tuple(machine: Machine, length: number): void {
  const items: Pickled[] = [];
  for (let i = 0; i < length; i++) items.unshift(pop(machine));
  push(machine, items);
}

const code = (letter: string) => letter.charCodeAt(0);
const operations: ReadonlyMap<number, (machine: Machine) => void> = new Map<number, (machine: Machine) => void>([
  [
    0x80,
    (m) => {
      take(m, 1);
    },
  ], // protocol
  [code("("), mark],
  [code("c"), takeGlobal],
  [code("q"), (m) => keep(m, take(m, 1)[0])],
  [code("r"), (m) => keep(m, take(m, 4).readUInt32LE())],
  [code("h"), (m) => recall(m, take(m, 1)[0])],
  [code("j"), (m) => recall(m, take(m, 4).readUInt32LE())],
  [code("N"), (m) => push(m, null)],
  [0x88, (m) => push(m, true)],
  [0x89, (m) => push(m, false)],
  [code("J"), (m) => push(m, take(m, 4).readInt32LE())],
  [code("K"), (m) => push(m, take(m, 1)[0])],
  [code("M"), (m) => push(m, take(m, 2).readUInt16LE())],
  [code("G"), (m) => push(m, take(m, 8).readDoubleBE())],
  [0x8a, takeLong],
  [code("X"), (m) => takeText(m, take(m, 4).readUInt32LE())],
  [code(")"), (m) => push(m, [])],
  [code("]"), (m) => push(m, [])],
  [code("t"), (m) => push(m, popMark(m))],
  [0x85, (m) => tuple(m, 1)],
  [0x86, (m) => tuple(m, 2)],
  [0x87, (m) => tuple(m, 3)],
  [code("}"), (m) => push(m, { kind: "dict", entries: new Map() })],
  [
    code("s"),
    (m) => {
      const value = pop(m);
      setItems(m, [pop(m), value]);
    },
  ],
  [code("u"), (m) => setItems(m, popMark(m))],
  [code("a"), (m) => append(m, [pop(m)])],
  [code("e"), (m) => append(m, popMark(m))],
  [code("Q"), persistent],
  [code("R"), reduce],
  [code("b"), build],
]);
