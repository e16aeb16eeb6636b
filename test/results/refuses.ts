// Asserts that a call is refused with one of the library's codes, and optionally with words.
import { AttributionError } from "../../lib/errors";
import type { ErrorCode } from "../../types/common";

export function refuses(code: ErrorCode, call: () => unknown, words?: RegExp): void {
  let caught: unknown;
  try {
    call();
  } catch (error) {
    caught = error;
  }
  check(code, caught, words);
}

export async function rejects(code: ErrorCode, call: () => Promise<unknown>, words?: RegExp): Promise<void> {
  check(
    code,
    await call().then(
      () => undefined,
      (error: unknown) => error,
    ),
    words,
  );
}

function check(code: ErrorCode, caught: unknown, words: RegExp | undefined): void {
  expect(caught).toBeInstanceOf(AttributionError);
  expect((caught as AttributionError).code).toBe(code);
  if (words !== undefined) expect((caught as AttributionError).message).toMatch(words);
}
