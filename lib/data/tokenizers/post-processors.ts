// Post-processors: the tokens that a tokenizer's own files put before and behind a text.
import type { PairTemplate } from "../../../types/data";
import { contentOf, type Definition } from "./definition";
import { isObject, type Json, listAt, misshapen, typeOf, unsupported } from "./pieces";

export interface Surround {
  readonly start: readonly number[];
  readonly end: readonly number[];
  /** Of a pair of texts, where the post-processor says it. */
  readonly pair?: PairTemplate;
}

/**
 * What a tokenizer's files ask for: tokenizer_config's add_bos_token and add_eos_token where it has one of them (as transformers
 * has it; a token that is null is not added), else the post-processor.
 */
export function addedAround({ json, config }: Definition): Surround {
  const around = surroundOf(json["post_processor"]);
  const flags = ["add_bos_token", "add_eos_token"].map((flag) => config[flag]);
  if (!flags.some((flag) => typeof flag === "boolean")) return around;
  const [start, end] = (["bos_token", "eos_token"] as const).map((role, index) => {
    const content = contentOf(config[role]);
    const token = json.added_tokens.find((added) => added.content === content);
    return flags[index] === true && token !== undefined ? [token.id] : [];
  });
  return { start, end };
}

const nothing: Surround = { start: [], end: [] };

/** What the post-processor that tokenizer.json describes puts around one text. */
export function surroundOf(part: unknown): Surround {
  if (part === null || part === undefined) return nothing;
  const { json, type } = typeOf(part, "post-processor");
  const make = Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make === undefined) throw unsupported(`the post-processor "${type}"`);
  return make(json);
}

const makers: Readonly<Record<string, (json: Json) => Surround>> = {
  ByteLevel: () => nothing,
  TemplateProcessing: template,
  BertProcessing: (json) => classified(json, 1, 1),
  RobertaProcessing: (json) => classified(json, 2, 0),
  Sequence: (json) => {
    const all = listAt(json, "processors", "post-processor Sequence").map(surroundOf);
    const joined = all.reduce(
      (inner, outer) => ({ start: [...outer.start, ...inner.start], end: [...inner.end, ...outer.end] }),
      nothing,
    );
    const pairs = all.filter(({ pair }) => pair !== undefined);
    return pairs.length === 1 ? { ...joined, pair: pairs[0].pair } : joined;
  },
};

/** `cls` and `sep` are pairs of token and id; between two texts stand so many separators, and the second one has a type. */
function classified(json: Json, separators: number, second: number): Surround {
  const idOf = (key: string): number => {
    const pair = json[key];
    if (Array.isArray(pair) && typeof pair[1] === "number") return pair[1];
    throw misshapen(`post-processor has no pair "${key}" of token and id`);
  };
  const [start, end] = [[idOf("cls")], [idOf("sep")]];
  const middle = new Array<number>(separators).fill(end[0]);
  const types = { start: 0, first: 0, middle: 0, second, end: second };
  return { start, end, pair: { start, middle, end, types } };
}

function template(json: Json): Surround {
  const special = isObject(json["special_tokens"]) ? json["special_tokens"] : {};
  const [start, end]: [number[], number[]] = [[], []];
  let texts = 0;
  for (const piece of listAt(json, "single", "post-processor TemplateProcessing")) {
    const token = isObject(piece) && isObject(piece["SpecialToken"]) ? piece["SpecialToken"]["id"] : undefined;
    if (typeof token === "string") (texts === 0 ? start : end).push(...idsOf(special, token));
    else texts++;
  }
  if (texts !== 1) throw unsupported(`a post-processor TemplateProcessing that holds the text ${texts} times`);
  const pair = pairOf(json, special);
  return { start, end, ...(pair !== undefined && { pair }) };
}

/** The pair of the template, where each text stands in it once, the first one first, and each part has one type. */
function pairOf(json: Json, special: Json): PairTemplate | undefined {
  if (!Array.isArray(json["pair"])) return undefined;
  const parts = [0, 1, 2].map(() => ({ ids: [] as number[], types: new Set<number>() }));
  const texts: { readonly id: unknown; readonly type: number }[] = [];
  for (const piece of json["pair"] as unknown[]) {
    const [kind, content] = isObject(piece) ? (Object.entries(piece)[0] ?? []) : [];
    const { id, type_id: type } = isObject(content) ? content : {};
    if (typeof type !== "number") return undefined;
    if (kind === "Sequence") texts.push({ id, type });
    else if (kind === "SpecialToken" && typeof id === "string" && texts.length < 3) {
      parts[texts.length].ids.push(...idsOf(special, id));
      parts[texts.length].types.add(type);
    } else return undefined;
  }
  if (texts.length !== 2 || texts[0].id !== "A" || texts[1].id !== "B") return undefined;
  if (parts.some(({ types }) => types.size > 1)) return undefined;
  const [start, middle, end] = parts.map(({ ids }) => ids);
  const [before, between, after] = parts.map(({ types }) => [...types][0] ?? 0);
  const types = { start: before, first: texts[0].type, middle: between, second: texts[1].type, end: after };
  return { start, middle, end, types };
}

function idsOf(special: Json, token: string): readonly number[] {
  const entry = Object.hasOwn(special, token) ? special[token] : undefined;
  const ids = isObject(entry) ? entry["ids"] : undefined;
  if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids as number[];
  throw misshapen(`post-processor TemplateProcessing has no ids for ${JSON.stringify(token)}`);
}
