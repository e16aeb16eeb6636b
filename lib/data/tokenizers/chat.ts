// Conversations as texts by a checkpoint's Jinja template, with the places of the assistant's turns. Runs in the tokenizer worker,
// whose bound of time ends a template that does not.
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { AttributionError } from "../../errors";
import type { Message } from "../conversation";
import { contentOf, type Definition, type Json } from "./definition";
import type { Pipeline } from "./pipeline";

interface JinjaTemplate {
  render(variables: Readonly<Record<string, unknown>>): string;
}
/** Its types are of an ES module, its code is not. */
const { Template } = createRequire(__filename)("@huggingface/jinja") as {
  readonly Template: new (source: string) => JinjaTemplate;
};

export interface ChatRequest {
  readonly conversations: readonly (readonly Message[])[];
  /** In place of the checkpoint's own. */
  readonly template?: string;
  /** Further variables of the template. */
  readonly values: Json;
  /** End a conversation that the assistant did not end with what asks for its turn. */
  readonly asks: boolean;
}

export interface Chat {
  readonly text: string;
  readonly ids: Int32Array;
  /** [turn of the assistant that is a target] its first token and the one behind its last. */
  readonly spans: readonly (readonly [start: number, end: number])[];
  /** The first token of the last message, where that is the assistant's; −1 elsewhere. */
  readonly answer: number;
}

type Render = (messages: readonly Message[], asks: boolean) => string;

/** Every conversation as the template writes it. Start tokens are the template's own; none are added. */
export function chatsOf(definition: Definition, pipeline: Pipeline, request: ChatRequest): Chat[] {
  const source = request.template ?? templateOf(definition.config);
  const marks = { open: mark(), close: mark() };
  const isMarked = /\{%-?\s*generation\s*-?%\}/.test(source);
  const render = rendererOf(source, marks, definition, request.values);
  return request.conversations.map((messages, at) => {
    if (messages.length === 0)
      throw new AttributionError("invalid", `Conversation ${at + 1} of the batch has no turns`);
    const endsWithAnswer = messages.at(-1)!.role === "assistant";
    const rendered = render(messages, request.asks && !endsWithAnswer);
    const { text, places } = isMarked ? unmarked(rendered, marks) : { text: rendered, places: [] };
    const all = isMarked ? byTurn(messages, places) : turnPlaces(messages, text, render);
    const ids = Int32Array.from(pipeline.encode(text));
    const tokens = ({ start, end }: Place): [number, number] => [
      tokenAt(pipeline, text, start, ids, "first"),
      tokenAt(pipeline, text, end, ids, "behind"),
    ];
    const last = all.at(-1);
    const answer = endsWithAnswer && last?.turn === messages.length - 1 ? tokens(last)[0] : -1;
    return { text, ids, spans: all.filter(({ turn }) => messages[turn].weight !== 0).map(tokens), answer };
  });
}

const mark = (): string => `\ue000${randomBytes(8).toString("hex")}\ue001`;

/** tokenizer_config.json's `chat_template`: a text, or a list of named ones. */
function templateOf(config: Json): string {
  const given = config["chat_template"];
  const named = Array.isArray(given) ? (given as Json[]).find(({ name }) => name === "default")?.["template"] : given;
  if (typeof named === "string" && named !== "") return named;
  throw new AttributionError(
    "missing",
    'The tokenizer has no chat template. Give one as "chatTemplate", or write each conversation as a "prompt" and a "completion"',
  );
}

function rendererOf(
  source: string,
  marks: { readonly open: string; readonly close: string },
  { config, json, special }: Definition,
  values: Json,
): Render {
  // The tags of transformers' own extension, as blocks that write a mark, so that white space is cut alike.
  const marking = (text: string) => (_tag: string, before: string, after: string) =>
    `{%${before} if true %}{{ "${text}" }}{% endif ${after}%}`;
  const template = source
    .replace(/\{%(-?)\s*generation\s*(-?)%\}/g, marking(marks.open))
    .replace(/\{%(-?)\s*endgeneration\s*(-?)%\}/g, marking(marks.close))
    .replace(/\bstrftime_now is defined\b/g, "false"); // texts must not depend on the day
  let compiled: JinjaTemplate;
  try {
    compiled = new Template(template);
  } catch (cause) {
    throw new AttributionError("unsupported", `The chat template cannot be read: ${(cause as Error).message}`);
  }
  const tokens = Object.fromEntries(
    (["bos", "eos", "pad", "unk"] as const).flatMap((role) => {
      const content =
        contentOf(config[`${role}_token`]) ?? json.added_tokens.find(({ id }) => id === special[role])?.content;
      return content === undefined ? [] : [[`${role}_token`, content]];
    }),
  );
  return (messages, asks) => {
    const turns = messages.map(({ weight: _weight, ...turn }) => turn);
    try {
      return compiled.render({
        tools: null,
        documents: null,
        ...tokens,
        ...values,
        messages: turns,
        add_generation_prompt: asks,
      });
    } catch (cause) {
      throw new AttributionError("invalid", `The chat template refuses a conversation: ${(cause as Error).message}`);
    }
  };
}

interface Place {
  readonly start: number;
  readonly end: number;
}
interface TurnPlace extends Place {
  readonly turn: number;
}

/** The text without marks, and what stood between them. */
function unmarked(
  rendered: string,
  { open, close }: { open: string; close: string },
): { text: string; places: Place[] } {
  const places: Place[] = [];
  let text = "";
  for (const [at, part] of rendered.split(open).entries()) {
    const [inside, ...behind] = part.split(close);
    if (at > 0) places.push({ start: text.length, end: text.length + inside.length });
    text += inside + behind.join("");
  }
  return { text, places };
}

/** One marked place for each of the assistant's turns, in their order. */
function byTurn(messages: readonly Message[], places: readonly Place[]): TurnPlace[] {
  const turns = messages.flatMap(({ role }, turn) => (role === "assistant" ? [turn] : []));
  if (turns.length !== places.length)
    throw new AttributionError(
      "unsupported",
      `The chat template marks ${places.length} places by {% generation %} for ${turns.length} turns of the assistant; expected one for each`,
    );
  return places.map((place, at) => ({ ...place, turn: turns[at] }));
}

/**
 * Where the template has no marks: a turn begins behind the text of the turns before it with the generation prompt, and ends with
 * the text of the turns up to it, white space at its end left out. Both must be beginnings of the whole.
 */
function turnPlaces(messages: readonly Message[], text: string, render: Render): TurnPlace[] {
  return messages.flatMap(({ role, weight }, turn) => {
    const isLast = turn === messages.length - 1;
    if (role !== "assistant" || (weight === 0 && !isLast)) return [];
    const before = render(messages.slice(0, turn), true);
    const through = isLast ? text : render(messages.slice(0, turn + 1), false);
    if (!through.startsWith(before) || !text.startsWith(through))
      throw new AttributionError(
        "unsupported",
        `The chat template writes turn ${turn + 1} otherwise where later turns follow, so its tokens cannot be told. Set its "weight" to 0, or give a "chatTemplate" with {% generation %}`,
      );
    return [{ turn, start: before.length, end: before.length + through.slice(before.length).trimEnd().length }];
  });
}

/**
 * The token that begins at a place of the text: where the text before it, or behind it, has alone the tokens that it has in the
 * whole. Where a token spans the place: that token (`inside` "first"), or the one behind it ("behind").
 */
function tokenAt(
  pipeline: Pipeline,
  text: string,
  place: number,
  whole: Int32Array,
  inside: "first" | "behind",
): number {
  const before = pipeline.encode(text.slice(0, place));
  const differs = before.findIndex((id, at) => whole[at] !== id);
  if (differs < 0) return before.length;
  const behind = pipeline.encode(text.slice(place));
  const start = whole.length - behind.length;
  if (start >= 0 && behind.every((id, at) => whole[start + at] === id)) return start;
  return inside === "first" ? differs : differs + 1;
}
