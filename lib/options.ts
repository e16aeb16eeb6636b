// Reads plain option objects: fills defaults, refuses what is out of range, and refuses names that no option has.
import { AttributionError, expected } from "./errors";

type Bag = Readonly<Record<string, unknown>>;

/**
 * Refuses options that are no plain object, and names outside `names` (a misspelt option must not be ignored), and lists with holes. `signal` and
 * `onProgress`, which every long call has, are checked here, before anything is begun.
 */
export function onlyKnown(options: object | undefined, names: readonly string[]): Bag {
  if (options === undefined) return {};
  if (Object.prototype.toString.call(options) !== "[object Object]") throw expected("options", "an object", options);
  for (const name of Object.keys(options)) {
    if (!names.includes(name))
      throw new AttributionError(
        "unknown",
        `Unknown option "${name}"${guess(name, names)}. Known options: ${names.join(", ")}`,
      );
  }
  for (const [name, value] of Object.entries(options)) {
    if (hasHole(value)) throw expected(name, "a list without holes", value);
  }
  const { signal, onProgress } = options as Bag;
  if (signal !== undefined && !isSignal(signal)) throw expected("signal", "an AbortSignal", signal);
  if (onProgress !== undefined && typeof onProgress !== "function")
    throw expected("onProgress", "a function", onProgress);
  return options as Bag;
}

/** Whether a list, or a list within it, lacks an entry, as `[1, , 2]` does: methods of arrays pass over those in silence. */
export function hasHole(value: unknown, depth = 1): boolean {
  if (!Array.isArray(value)) return false;
  for (let i = 0; i < value.length; i++) {
    if (!(i in value) || (depth > 0 && hasHole(value[i], depth - 1))) return true;
  }
  return false;
}

function isSignal(value: unknown): value is AbortSignal {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as AbortSignal).addEventListener === "function" &&
    "aborted" in value
  );
}

/** `; did you mean "topK"?` where a known name has the same letters but for case and order, or all but one or two of them. */
function guess(name: string, names: readonly string[]): string {
  const near = names
    .map((known) => ({ known, edits: editsBetween(name.toLowerCase(), known.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0];
  return near !== undefined && near.edits <= Math.min(2, Math.floor(name.length / 3))
    ? `; did you mean "${near.known}"?`
    : "";
}

/** Levenshtein's distance. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length];
}

export function integer(
  options: Bag,
  name: string,
  fallback: number,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const value = options[name] ?? fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw expected(
      name,
      max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number within ${min}–${max}`,
      value,
    );
  }
  return value;
}

/** Numbers beyond these are no setting of anything, and overflow in float32 or are 0 there. */
const largest = 1e30;
export const leastAboveZero = 1e-30;

export function number(options: Bag, name: string, fallback: number, min = -largest, max = largest): number {
  const value = options[name] ?? fallback;
  if (typeof value !== "number" || Number.isNaN(value) || value < min || value > max) {
    throw expected(name, `a number within ${min}–${max}`, value);
  }
  return value;
}

export function oneOf<T extends string>(options: Bag, name: string, fallback: T, choices: readonly T[]): T {
  const value = options[name] ?? fallback;
  if (!choices.includes(value as T)) throw expected(name, `one of ${choices.map((c) => `"${c}"`).join(", ")}`, value);
  return value as T;
}

export function boolean(options: Bag, name: string, fallback: boolean): boolean {
  const value = options[name] ?? fallback;
  if (typeof value !== "boolean") throw expected(name, "true or false", value);
  return value;
}

export function text(options: Bag, name: string, fallback?: string): string {
  const value = options[name] ?? fallback;
  if (typeof value !== "string" || value === "") throw expected(name, "a non-empty string", value);
  return value;
}

/** A path, which "" is not. */
export function pathOf(name: string, what: string, value: unknown): string {
  if (typeof value !== "string" || value === "" || value.includes("\0")) throw expected(name, what, value);
  return value;
}

/** Whether a value is a typed array, by name and not by class: arrays of another realm are arrays too. */
export function isTyped(
  value: unknown,
  type: "Float32Array" | "Float64Array" | "Int32Array" | "Uint8Array",
): value is Float32Array | Float64Array | Int32Array | Uint8Array {
  return Object.prototype.toString.call(value) === `[object ${type}]`;
}

/** A list of numbers, or a typed array of them, as a plain list; "invalid" where it is neither. */
export function listOf(name: string, what: string, value: unknown): number[] {
  const isArray = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  if (!isArray) throw expected(name, what, value);
  return Array.from(value as ArrayLike<number>);
}

/** Seeds are whole numbers below 2^53; the same seed gives the same numbers on every machine. */
export function seedOf(options: Bag, fallback = 42): number {
  return integer(options, "seed", fallback, 0);
}

const units: Readonly<Record<string, number>> = { kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3, tb: 1024 ** 4 };

/** A size: bytes as a number, or text such as "512 MB" or "2 GB". */
export function memoryOf(options: Bag, fallback: string | number): number {
  const value = options["memory"] ?? fallback;
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  const match = typeof value === "string" ? /^\s*(\d+(?:\.\d+)?)\s*([kmgt]b)\s*$/i.exec(value) : null;
  if (!match) throw expected("memory", 'a number of bytes or a text such as "2 GB"', value);
  return Math.floor(Number(match[1]) * (units[match[2].toLowerCase()] ?? 1));
}
