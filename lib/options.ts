// Reads plain option objects: fills defaults, refuses what is out of range, and refuses names that no option has.
import { AttributionError, expected } from "./errors";

type Bag = Readonly<Record<string, unknown>>;

/** Refuses options that are no object, and names outside `names` (a misspelt option must not be ignored). */
export function onlyKnown(options: object | undefined, names: readonly string[]): Bag {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null || Array.isArray(options)) throw expected("options", "an object", options);
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw new AttributionError("unknown", `Unknown option "${name}". Known options: ${names.join(", ")}`);
  }
  return options as Bag;
}

export function integer(options: Bag, name: string, fallback: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const value = options[name] ?? fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw expected(name, max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number within ${min}–${max}`, value);
  }
  return value;
}

export function number(options: Bag, name: string, fallback: number, min = -Infinity, max = Infinity): number {
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
