// The tokens of one input: what the tokenizer puts around a text or a pair, and the parts, cut where they are too long.
import type { PairTemplate, Row, Tokenizer } from "../../types/data";
import type { Architecture } from "../../types/architecture";
import { AttributionError } from "../errors";
import type { Part } from "./templates";

export interface LayoutPlan {
  readonly model: { readonly tokenizer: Tokenizer; readonly architecture: Architecture };
  readonly maxLength: number;
  readonly start: readonly number[];
  readonly end: readonly number[];
}

export interface EncodedPart extends Part {
  readonly ids: Int32Array;
}

interface LaidOut {
  readonly ids: Int32Array;
  /** Of each token; undefined where all are 0. */
  readonly types: Int32Array | undefined;
}

/** A whole input with `behind` at its end; of a pair with what its template says. */
export function layOut(plan: LayoutPlan, row: Row, parts: readonly EncodedPart[], behind: Int32Array): LaidOut {
  const second = parts.findIndex((part) => part.second === true);
  if (second < 0) {
    const [start, ...kept] = cut(plan, row, parts, plan.start, behind.length);
    return { ids: joined([start, ...kept, behind]), types: undefined };
  }
  const pair = pairOf(plan, row, second);
  const end = plan.end.length > 0 ? pair.end : [];
  const around = plan.start.length > 0 ? pair.start : [];
  const [start, ...kept] = cut(plan, row, parts, around, pair.middle.length + end.length);
  const { types } = pair;
  const pieces: readonly (readonly [ArrayLike<number>, number])[] = [
    [start, types.start],
    ...kept.slice(0, second).map((ids) => [ids, types.first] as const),
    [pair.middle, types.middle],
    ...kept.slice(second).map((ids) => [ids, types.second] as const),
    [end, types.end],
  ];
  const hasTypes = plan.model.architecture.tokenTypes > 1 && pieces.some(([, type]) => type > 0);
  return {
    ids: joined(pieces.map(([ids]) => ids)),
    types: hasTypes ? joined(pieces.map(([ids, type]) => new Array<number>(ids.length).fill(type))) : undefined,
  };
}

function pairOf({ model }: LayoutPlan, row: Row, second: number): PairTemplate {
  if (model.architecture.causal !== false)
    throw new AttributionError(
      "invalid",
      `The template marks a part of row "${row.id}" as the second text of a pair, which only encoders have. Leave "second" out`,
    );
  if (second === 0)
    throw new AttributionError(
      "invalid",
      `The template marks the first part of row "${row.id}" as the second of a pair`,
    );
  const { pair } = model.tokenizer;
  if (pair === undefined)
    throw new AttributionError(
      "missing",
      `The tokenizer's files do not say how a pair of texts is written, which row "${row.id}" is. Give a template of one text`,
    );
  return pair;
}

/** The start tokens, then the parts' tokens, cut so that `reserved` more fit. */
function cut(
  plan: LayoutPlan,
  row: Row,
  parts: readonly EncodedPart[],
  before: readonly number[],
  reserved: number,
): Int32Array[] {
  const first = parts.find((part) => part.ids.length > 0)?.ids[0];
  const start = before[0] === first ? [] : before;
  const length = start.length + reserved + parts.reduce((sum, part) => sum + part.ids.length, 0);
  let excess = length - plan.maxLength;
  const kept = parts.map((part) => part.ids);
  for (let index = parts.length - 1; index >= 0 && excess > 0; index--) {
    if (parts[index].truncate !== true) continue;
    const dropped = Math.min(excess, kept[index].length);
    kept[index] = kept[index].subarray(0, kept[index].length - dropped);
    excess -= dropped;
  }
  if (excess > 0) {
    const words = parts.some((part) => part.truncate)
      ? "even without the parts that may be cut"
      : "and no part of it may be cut (mark one with truncate: true)";
    throw new AttributionError(
      "invalid",
      `Row "${row.id}" has ${length} tokens where ${plan.maxLength} fit (the model takes ${plan.model.architecture.positions}), ${words}`,
    );
  }
  return [Int32Array.from(start), ...kept];
}

function joined(parts: readonly ArrayLike<number>[]): Int32Array {
  const ids = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return ids;
}
