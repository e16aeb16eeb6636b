// Turns a result into JSON plus named arrays, and back. Typed arrays and long lists of texts leave the JSON as { $tensor }
// and { $texts }; numbers that JSON cannot say are { $number }. Knows nothing of what a result means.
import { AttributionError, shown } from "../errors";
import { pacer } from "../pacing";
import type { TensorData } from "../storage/tensors";

export interface Packed {
  readonly json: unknown;
  readonly arrays: Record<string, TensorData>;
}

const deepest = 32;
const longestInlineList = 64;
const arrayTypes = ["Float32Array", "Float64Array", "Int32Array", "Uint8Array"];
const specialNumbers = new Map([
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["-0", -0],
]);

/** "invalid" where a value is no plain data: functions, class instances, names that begin with "$". */
export async function pack(value: unknown): Promise<Packed> {
  const arrays: Record<string, TensorData> = {};
  const pace = pacer();

  const packAt = async (item: unknown, path: string, depth: number): Promise<unknown> => {
    if (depth > deepest) throw refusal(path, "nested too deeply");
    if (item === null || typeof item === "string" || typeof item === "boolean") return item;
    if (typeof item === "number")
      return Number.isFinite(item) && !Object.is(item, -0)
        ? item
        : { $number: Object.is(item, -0) ? "-0" : String(item) };
    if (ArrayBuffer.isView(item)) {
      arrays[path] = typedArray(item, path);
      return { $tensor: path };
    }
    if (Array.isArray(item)) {
      if (item.length > longestInlineList && item.every((text) => typeof text === "string"))
        return packTexts(item, path);
      const list: unknown[] = [];
      for (const [index, entry] of item.entries()) {
        list.push(await packAt(entry, `${path}.${index}`, depth + 1));
        await pace();
      }
      return list;
    }
    return packObject(item, path, depth);
  };

  const packObject = async (item: unknown, path: string, depth: number): Promise<unknown> => {
    if (!isPlain(item)) throw refusal(path, `no plain data (${shown(item)})`);
    const object: Record<string, unknown> = {};
    for (const [name, entry] of Object.entries(item)) {
      if (name.startsWith("$") || name === "__proto__") throw refusal(path, `named "${name}"`);
      if (entry !== undefined) object[name] = await packAt(entry, path === "" ? name : `${path}.${name}`, depth + 1);
    }
    return object;
  };

  const packTexts = async (texts: readonly string[], path: string) => {
    const offsets = new Int32Array(texts.length + 1);
    const bytes: Buffer[] = [];
    for (const [index, text] of texts.entries()) {
      const encoded = Buffer.from(text);
      bytes.push(encoded);
      offsets[index + 1] = offsets[index] + encoded.length;
      await pace();
    }
    arrays[`${path}.bytes`] = new Uint8Array(Buffer.concat(bytes));
    arrays[`${path}.offsets`] = offsets;
    return { $texts: path };
  };

  return { json: await packAt(value, "", 0), arrays };
}

function refusal(path: string, words: string): AttributionError {
  return new AttributionError("invalid", `Expected a result of plain data but "${path || "result"}" is ${words}`);
}

/** By name, not by class: arrays and objects of another realm are plain too. */
function typedArray(item: ArrayBufferView, path: string): TensorData {
  if (!arrayTypes.includes(Object.prototype.toString.call(item).slice(8, -1))) {
    throw refusal(path, `a ${item.constructor.name}; only ${arrayTypes.join(", ")} can be stored`);
  }
  return item as TensorData;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Object.prototype.toString.call(value) !== "[object Object]")
    return false;
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The inverse of `pack`: frozen plain objects. `fail` words an error for JSON that `pack` cannot have written. */
export async function unpack(
  json: unknown,
  arrays: Readonly<Record<string, TensorData>>,
  fail: (words: string) => Error,
): Promise<unknown> {
  const pace = pacer();
  const arrayNamed = (name: unknown): TensorData => {
    const found = typeof name === "string" && Object.hasOwn(arrays, name) ? arrays[name] : undefined;
    if (found === undefined) throw fail(`it names an array ${shown(name)} that is not stored`);
    return found;
  };

  const unpackAt = async (item: unknown, depth: number): Promise<unknown> => {
    if (depth > deepest) throw fail("it is nested too deeply");
    if (typeof item !== "object" || item === null) return item;
    await pace();
    if (Array.isArray(item)) {
      const list: unknown[] = [];
      for (const entry of item) list.push(await unpackAt(entry, depth + 1));
      return Object.freeze(list);
    }
    const entries = Object.entries(item as Record<string, unknown>);
    const [first, argument] = entries[0] ?? ["", undefined];
    if (first === "$tensor") return arrayNamed(argument);
    if (first === "$texts")
      return unpackTexts(arrayNamed(`${String(argument)}.bytes`), arrayNamed(`${String(argument)}.offsets`));
    if (first === "$number" && specialNumbers.has(String(argument))) return specialNumbers.get(String(argument));
    const object: Record<string, unknown> = {};
    for (const [name, entry] of entries) {
      if (name.startsWith("$") || name === "__proto__") throw fail(`it has a field named "${name.slice(0, 40)}"`);
      object[name] = await unpackAt(entry, depth + 1);
    }
    return Object.freeze(object);
  };

  const unpackTexts = async (bytes: TensorData, offsets: TensorData): Promise<readonly string[]> => {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const texts: string[] = [];
    for (let index = 0; index + 1 < offsets.length; index++) {
      const [start, end] = [offsets[index], offsets[index + 1]];
      if (!(start >= 0 && start <= end && end <= buffer.length)) throw fail("its texts do not fit their bytes");
      texts.push(buffer.toString("utf8", start, end));
      await pace();
    }
    return Object.freeze(texts);
  };

  return unpackAt(json, 0);
}
