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

/** The value as an error message shows it: short, typed. */
export function shown(value: unknown): string {
  if (typeof value === "string") return `"${value.length > 60 ? `${value.slice(0, 60)}…` : value}"`;
  if (value === undefined || typeof value === "function" || typeof value === "symbol" || typeof value === "bigint") return typeof value;
  if (value === null || typeof value !== "object") return `${value as number | boolean | null}`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength} bytes)`;
  const json = JSON.stringify(value) ?? "an object";
  return json.length > 80 ? `${json.slice(0, 80)}…` : json;
}

/** `Expected "layers" to be … but received …`, with code "invalid". */
export function expected(name: string, what: string, value: unknown): AttributionError {
  return new AttributionError("invalid", `Expected "${name}" to be ${what} but received ${shown(value)}`);
}
