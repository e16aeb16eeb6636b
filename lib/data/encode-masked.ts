// Masked language models: a text holds the mask token once, and an answer of one token belongs there.
import type { Row, Tokenizer } from "../../types/data";
import { AttributionError } from "../errors";
import { noTarget } from "./instances";
import type { Part } from "./templates";

/** The tokenizer's mask token. */
export interface Mask {
  readonly id: number;
  readonly text: string;
}

/** The text of the part that holds the mask, and the same with the answer in its place. */
export interface MaskedDraft {
  readonly text: string;
  readonly answer?: string;
  readonly filled?: string;
}

/** "missing" where the tokenizer's files name no mask token. */
export async function maskOf(tokenizer: Tokenizer): Promise<Mask> {
  const id = tokenizer.special.mask;
  if (id === undefined)
    throw new AttributionError("missing", "The tokenizer's files name no mask token, which a masked LM's texts need");
  const [text] = await tokenizer.tokenTexts([id]);
  return { id, text };
}

export function draftMasked(mask: Mask, row: Row, parts: readonly Part[], answer: string | undefined): MaskedDraft {
  const holders = parts.filter(({ text }) => text.includes(mask.text));
  const count = parts.reduce((sum, { text }) => sum + text.split(mask.text).length - 1, 0);
  if (count !== 1) throw wrongCount(mask, row, count);
  const { text } = holders[0];
  return answer === undefined ? { text } : { text, answer, filled: text.replace(mask.text, () => answer.trim()) };
}

/** The targets of a row whose tokens are laid out. */
export function finishMasked(
  mask: Mask,
  row: Row,
  ids: Int32Array,
  masked: MaskedDraft | undefined,
  idsOf: (text: string) => Int32Array,
): { id: string; rows: Int32Array[]; label: number; targets: Int32Array } {
  const place = ids.indexOf(mask.id);
  if (place < 0)
    throw new AttributionError(
      "invalid",
      `The mask of row "${row.id}" was cut away: raise "maxLength", or shorten the row`,
    );
  if (ids.indexOf(mask.id, place + 1) >= 0) throw wrongCount(mask, row, ids.filter((id) => id === mask.id).length);
  const label = masked?.filled === undefined ? -1 : answerToken(mask, row, masked, idsOf);
  const targets = new Int32Array(ids.length).fill(noTarget);
  targets[place] = label;
  return { id: row.id, rows: [ids], label, targets };
}

/** The token that stands in the mask's place when the answer does; the text around it must stay as it is. */
function answerToken(mask: Mask, row: Row, masked: MaskedDraft, idsOf: (text: string) => Int32Array): number {
  const [before, after] = [idsOf(masked.text), idsOf(masked.filled!)];
  const place = before.indexOf(mask.id);
  const tokens = after.length - before.length + 1;
  if (tokens === 1 && before.every((id, index) => index === place || after[index] === id)) return after[place];
  throw new AttributionError(
    "invalid",
    tokens === 1
      ? `The answer ${JSON.stringify(masked.answer)} of row "${row.id}" changes the tokens around the mask`
      : `The answer ${JSON.stringify(masked.answer)} of row "${row.id}" takes ${tokens} tokens, but a mask holds one`,
  );
}

function wrongCount(mask: Mask, row: Row, count: number): AttributionError {
  return new AttributionError(
    "invalid",
    `Expected the text of row "${row.id}" to hold ${mask.text} exactly once, but it holds it ${count} times`,
  );
}
