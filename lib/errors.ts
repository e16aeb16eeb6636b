import type { ErrorCode } from "../types/common";

/** The one error class of the library: a stable `code`, a sentence that says what to do, and the `cause` where there is one. */
export class AttributionError extends Error {
  override readonly name = "AttributionError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The value as an error message shows it: short and typed, whatever it is. Looks at a few entries only, however many there are. */
export function shown(value: unknown): string {
  const text = described(value, 0);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

const [mostEntries, deepest] = [8, 2];

function described(value: unknown, depth: number): string {
  if (typeof value === "string") return `"${value.length > 60 ? `${value.slice(0, 60)}…` : value}"`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return describedObject(value, depth);
  } catch {
    return "an object that cannot be read";
  }
}

function describedObject(value: object, depth: number): string {
  const name = Object.prototype.toString.call(value).slice(8, -1);
  if (ArrayBuffer.isView(value))
    return `${name}(${"length" in value ? String(value.length) : `${value.byteLength} bytes`})`;
  if (Array.isArray(value)) {
    if (depth >= deepest) return `a list of ${value.length}`;
    const entries = value.slice(0, mostEntries).map((entry) => described(entry, depth + 1));
    return `[${entries.join(",")}${value.length > mostEntries ? `,… ${value.length} in all` : ""}]`;
  }
  if (name !== "Object") return `a ${name}`;
  if (depth >= deepest) return "an object";
  const names = Object.keys(value);
  const entries = names
    .slice(0, mostEntries)
    .map((key) => `"${key}":${described((value as Record<string, unknown>)[key], depth + 1)}`);
  return `{${entries.join(",")}${names.length > mostEntries ? ",…" : ""}}`;
}

/** `Expected "layers" to be … but received …`, with code "invalid". */
export function expected(name: string, what: string, value: unknown): AttributionError {
  return new AttributionError("invalid", `Expected "${name}" to be ${what} but received ${shown(value)}`);
}
