// A pickle machine for torch.save's state dictionaries. It builds plain data and calls nothing: the few globals that
// rebuild tensors are known by name, and every other one is refused, so that no pickle can run code here. A pickle that PyTorch reads,
// and this machine does not, is "unsupported" and never "corrupt". Protocols 2 to 5.
import type { AttributionError } from "../errors";
import { corrupt } from "./listing";
import { pacer } from "../pacing";
import {
  type Machine,
  type Pickled,
  type PickledTensor,
  isKind,
  keep,
  longestName,
  mark,
  pop,
  popMark,
  push,
  setItems,
  take,
  takeLength,
  takeLine,
  takeText,
  unsupported,
} from "./pickle-machine";

const mostDimensions = 8;

const storageTypes: ReadonlyMap<string, string> = new Map([
  ["torch.DoubleStorage", "F64"],
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.BoolStorage", "BOOL"],
  ["torch.ByteStorage", "U8"],
  ["torch.CharStorage", "I8"],
  ["torch.ShortStorage", "I16"],
  ["torch.ComplexFloatStorage", "C64"],
  ["torch.ComplexDoubleStorage", "C128"],
]);
const rebuildTensor = "torch._utils._rebuild_tensor_v2";
const rebuildParameter = "torch._utils._rebuild_parameter";
const orderedDict = "collections.OrderedDict";
const knownGlobals: readonly string[] = [rebuildTensor, rebuildParameter, orderedDict, ...storageTypes.keys()];
/** What Python's pickle module knows beyond the operations below, by its names in pickletools. */
const otherOperations = "FILPSTUVdgilopBC\x81\x82\x83\x84\x8e\x8f\x90\x91\x92\x96\x97";

/** Runs a pickle that makes a dictionary of tensors and lists it. */
export async function unpickleTensors(file: string, bytes: Buffer): Promise<Map<string, PickledTensor>> {
  return tensorsOf(file, (await unpickle(file, bytes, 0)).value);
}

/** Runs the pickle that begins at a byte: what it makes, and the byte after it. */
export async function unpickle(
  file: string,
  bytes: Buffer,
  at: number,
): Promise<{ readonly value: Pickled; readonly end: number }> {
  const machine: Machine = { file, bytes, at, stack: [], outer: [], memo: [], objects: 0 };
  const pace = pacer();
  for (let steps = 1; ; steps++) {
    const code = take(machine, 1)[0];
    if (code === 0x2e) break;
    const operation = operations.get(code);
    if (operation === undefined) throw unknownOperation(file, code);
    operation(machine);
    if ((steps & 0x3ff) === 0) await pace();
  }
  return { value: pop(machine), end: machine.at };
}

function unknownOperation(file: string, code: number): AttributionError {
  const name = `0x${code.toString(16).padStart(2, "0")}`;
  return otherOperations.includes(String.fromCharCode(code))
    ? unsupported(file, `its pickle has the operation ${name}, which makes something else than tensors`)
    : corrupt(file, `its pickle has the operation ${name}, which no pickle has`);
}

/** The tensors of a dictionary by name; "unsupported" for anything else. */
export async function tensorsOf(file: string, value: Pickled): Promise<Map<string, PickledTensor>> {
  const pace = pacer();
  const tensors = new Map<string, PickledTensor>();
  if (!isKind(value, "dict")) throw unsupported(file, "its pickle is no dictionary of tensors");
  for (const [name, tensor] of value.entries) {
    if (typeof name !== "string") throw unsupported(file, "its pickle has a tensor whose name is no text");
    if (!isKind(tensor, "tensor"))
      throw unsupported(file, `its pickle holds "${name.slice(0, 80)}", which is ${describe(tensor)} and no tensor`);
    tensors.set(name, tensor);
    if ((tensors.size & 0x3ff) === 0) await pace();
  }
  return tensors;
}

function describe(value: Pickled): string {
  if (Array.isArray(value)) return "a list";
  if (isKind(value, "dict")) return "a dictionary";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function pushGlobal(machine: Machine, module: string, member: string): void {
  const name = `${module}.${member}`;
  if (!knownGlobals.includes(name))
    throw unsupported(machine.file, `its pickle asks for "${name}", which rebuilds none of the tensors read here`);
  push(machine, { kind: "global", name });
}

function stackGlobal(machine: Machine): void {
  const [member, module] = [pop(machine), pop(machine)];
  const isName = (value: Pickled) => typeof value === "string" && value.length <= longestName;
  if (!isName(member) || !isName(module)) throw corrupt(machine.file, "its pickle names a global by something else");
  pushGlobal(machine, module as string, member as string);
}

function recall(machine: Machine, index: number): void {
  const value = machine.memo[index];
  if (value === undefined) throw corrupt(machine.file, "its pickle recalls what it never kept");
  push(machine, value);
}

function append(machine: Machine, items: readonly Pickled[]): void {
  const target = machine.stack.at(-1);
  if (!Array.isArray(target)) throw unsupported(machine.file, "its pickle fills something that is no list");
  for (const item of items) target.push(item);
}

/** A call of one of the known globals, done on data. */
function reduce(machine: Machine): void {
  const [values, callee] = [pop(machine), pop(machine)];
  if (!isKind(callee, "global") || !Array.isArray(values))
    throw unsupported(machine.file, "its pickle calls something that is no function");
  if (callee.name === orderedDict && values.length === 0) return push(machine, { kind: "dict", entries: new Map() });
  if (callee.name === rebuildParameter && isKind(values[0], "tensor")) return push(machine, values[0]);
  if (callee.name === rebuildTensor) return push(machine, tensorOf(machine, values));
  throw unsupported(machine.file, `its pickle calls ${callee.name} with something else than a tensor`);
}

function tensorOf(machine: Machine, [storage, offset, shape, strides]: readonly Pickled[]): PickledTensor {
  const isSizes = (value: Pickled | undefined): value is number[] =>
    Array.isArray(value) &&
    value.length <= mostDimensions &&
    value.every((size) => typeof size === "number" && Number.isSafeInteger(size) && size >= 0);
  if (
    !isKind(storage, "storage") ||
    !isSizes([offset ?? null]) ||
    !isSizes(shape) ||
    !isSizes(strides) ||
    shape.length !== strides.length
  ) {
    if (Array.isArray(shape) && shape.length > mostDimensions)
      throw unsupported(machine.file, `its pickle rebuilds a tensor of ${shape.length} dimensions`);
    throw corrupt(
      machine.file,
      "its pickle rebuilds a tensor from something else than a storage, an offset, sizes and strides",
    );
  }
  return { kind: "tensor", storage, offset: (offset as number) + storage.first, shape, strides };
}

/**
 * Persistent ids name storages: ("storage", type, key, place, elements). Files of before PyTorch 1.6 may add the part of the
 * storage that is meant: (key of the part, first element, elements).
 */
function persistent(machine: Machine): void {
  const id = pop(machine);
  const [word, type, key, , elements, part = null] = Array.isArray(id) ? id : [];
  const first = Array.isArray(part) ? part[1] : 0;
  const dtype = isKind(type, "global") ? storageTypes.get(type.name) : undefined;
  if (
    word !== "storage" ||
    dtype === undefined ||
    typeof key !== "string" ||
    typeof elements !== "number" ||
    !Number.isSafeInteger(elements) ||
    elements < 0 ||
    typeof first !== "number" ||
    !Number.isSafeInteger(first) ||
    first < 0
  ) {
    throw unsupported(machine.file, "its pickle refers to something that is no storage of known numbers");
  }
  push(machine, { kind: "storage", dtype, key, elements, first });
}

const longestLong = 255; // bytes

function takeLong(machine: Machine, length: number): void {
  if (length > longestLong) throw unsupported(machine.file, `its pickle has a number of ${length} bytes`);
  const bytes = take(machine, length);
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  push(machine, Number(BigInt.asIntN(8 * bytes.length, value)));
}

/** Object state: the only object here is a dictionary, whose state (`_metadata`) is not needed. */
function build(machine: Machine): void {
  pop(machine);
  if (!isKind(machine.stack.at(-1), "dict"))
    throw unsupported(machine.file, "its pickle gives state to something that is no dictionary");
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
  [
    0x95,
    (m) => {
      takeLength(m);
    },
  ], // a frame, which only says how much to read ahead
  [code("("), mark],
  [
    code("0"),
    (m) => {
      pop(m);
    },
  ],
  [
    code("1"),
    (m) => {
      popMark(m);
    },
  ],
  [code("2"), (m) => push(m, m.stack.at(-1) ?? pop(m))],
  [code("c"), (m) => pushGlobal(m, takeLine(m), takeLine(m))],
  [0x93, stackGlobal],
  [0x94, (m) => keep(m, m.memo.length)],
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
  [0x8a, (m) => takeLong(m, take(m, 1)[0])],
  [0x8b, (m) => takeLong(m, take(m, 4).readUInt32LE())],
  [code("X"), (m) => takeText(m, take(m, 4).readUInt32LE())],
  [0x8c, (m) => takeText(m, take(m, 1)[0])],
  [0x8d, (m) => takeText(m, takeLength(m))],
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
