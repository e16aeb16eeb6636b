import type { ErrorCode } from "../../types/common";

/** What `toMatchObject` finds in a refusal. */
export function refusal(code: ErrorCode, words: RegExp): object {
  return { name: "AttributionError", code, message: expect.stringMatching(words) as string };
}
