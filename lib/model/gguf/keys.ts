// Reads a GGUF file's metadata by key: of the right kind and within bounds, or refused by the key's name.
import { AttributionError, shown } from "../../errors";
import type { GgufContents, GgufValue } from "../../storage/gguf";

export interface GgufKeys {
  readonly path: string;
  /** All keys there are. */
  readonly names: readonly string[];
  value(key: string): GgufValue | undefined;
  /** Each of these throws "missing" where the key is absent and no fallback is given, "invalid" for another kind of value. */
  text(key: string, fallback?: string): string;
  count(key: string, largest: number, fallback?: number): number;
  /** Written as the shortest decimal that means the same 32-bit number. */
  real(key: string, fallback?: number): number;
  flag(key: string, fallback: boolean): boolean;
  texts(key: string): readonly string[];
}

export function ggufKeys(path: string, { metadata }: GgufContents): GgufKeys {
  const value = (key: string) => metadata.get(key);
  function read<T>(key: string, what: string, fallback: T | undefined, isRight: (found: GgufValue) => boolean): T {
    const found = metadata.get(key);
    if (found === undefined && fallback !== undefined) return fallback;
    if (found === undefined) throw new AttributionError("missing", `${path} has no "${key}"`);
    if (!isRight(found))
      throw new AttributionError("invalid", `Expected "${key}" in ${path} to be ${what} but received ${shown(found)}`);
    return found as T;
  }
  return {
    path,
    names: [...metadata.keys()],
    value,
    text: (key, fallback) => read(key, "a text", fallback, (found) => typeof found === "string"),
    count: (key, largest, fallback) =>
      read(
        key,
        `a whole number within 1–${largest}`,
        fallback,
        (found) => typeof found === "number" && Number.isInteger(found) && found >= 1 && found <= largest,
      ),
    real: (key, fallback) =>
      shortest(read(key, "a number", fallback, (found) => typeof found === "number" && Number.isFinite(found))),
    flag: (key, fallback) => read(key, "true or false", fallback, (found) => typeof found === "boolean"),
    texts: (key) =>
      read<readonly string[]>(
        key,
        "a list of texts",
        undefined,
        (found) => Array.isArray(found) && (found.length === 0 || typeof found[0] === "string"),
      ),
  };
}

/** 9.999999747378752e-6 is how a 32-bit 1e-5 reads. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
