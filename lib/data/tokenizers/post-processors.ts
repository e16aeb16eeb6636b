// Post-processors: the tokens that a tokenizer's own files put before and behind a text.
import { contentOf, type Definition } from "./definition";
import { isObject, type Json, listAt, misshapen, typeOf, unsupported } from "./pieces";

export interface Surround {
  readonly start: readonly number[];
  readonly end: readonly number[];
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
  BertProcessing: classified,
  RobertaProcessing: classified,
  Sequence: (json) =>
    listAt(json, "processors", "post-processor Sequence")
      .map(surroundOf)
      .reduce(
        (inner, outer) => ({ start: [...outer.start, ...inner.start], end: [...inner.end, ...outer.end] }),
        nothing,
      ),
};

/** `cls` and `sep` are pairs of token and id. */
function classified(json: Json): Surround {
  const idOf = (key: string): number => {
    const pair = json[key];
    if (Array.isArray(pair) && typeof pair[1] === "number") return pair[1];
    throw misshapen(`post-processor has no pair "${key}" of token and id`);
  };
  return { start: [idOf("cls")], end: [idOf("sep")] };
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
  return { start, end };
}

function idsOf(special: Json, token: string): readonly number[] {
  const entry = Object.hasOwn(special, token) ? special[token] : undefined;
  const ids = isObject(entry) ? entry["ids"] : undefined;
  if (Array.isArray(ids) && ids.every((id) => Number.isInteger(id) && id >= 0)) return ids as number[];
  throw misshapen(`post-processor TemplateProcessing has no ids for ${JSON.stringify(token)}`);
}
