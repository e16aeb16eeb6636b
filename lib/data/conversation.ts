// Conversations in the forms that training data have them, as one: a list of turns with a role and a text. In a row it is the field
// `messages`, as JSON. A turn with `"weight": 0` is read by the model and is no target, as in OpenAI's format.
import { corruptAt } from "./read-text";

export interface Message {
  readonly role: string;
  readonly content: string;
  /** 0: an assistant's turn that is no target. @default 1 */
  readonly weight?: 0 | 1;
  /** What else a template may read, such as `reasoning_content`. */
  readonly [further: string]: unknown;
}

type Values = Readonly<Record<string, unknown>>;

/** ShareGPT's names of the roles. */
const roles: Readonly<Record<string, string>> = {
  human: "user",
  gpt: "assistant",
  bot: "assistant",
  chatgpt: "assistant",
};

/** Whether a value is a list of turns, by its first. */
export function isConversation(value: unknown): value is readonly Values[] {
  const first: unknown = Array.isArray(value) ? value[0] : undefined;
  return typeof first === "object" && first !== null && ("role" in first || "from" in first);
}

/**
 * The conversation of a record as JSON, and the keys that it was made of: `messages` (role, content), ShareGPT's `conversations`
 * (from, value), or TRL's `prompt` and `completion` where both are lists of turns; the prompt's turns are no targets. Undefined
 * where the record has none.
 */
export function conversationIn(
  path: string,
  line: number,
  value: Values,
): { readonly json: string; readonly keys: readonly string[] } | undefined {
  const { prompt, completion } = value;
  for (const key of ["messages", "conversations", "conversation"])
    if (isConversation(value[key])) return { json: conversationJson(path, line, value[key]), keys: [key] };
  if (!isConversation(prompt) || !isConversation(completion)) return undefined;
  const silent = prompt.map((turn) => ({ ...turn, weight: 0 }));
  return { json: conversationJson(path, line, [...silent, ...completion]), keys: ["prompt", "completion"] };
}

/** Checked turns as JSON. */
export function conversationJson(path: string, line: number, turns: readonly Values[]): string {
  return JSON.stringify(turns.map((turn, at) => messageOf(path, line, turn, at)));
}

function messageOf(path: string, line: number, turn: unknown, at: number): Message {
  if (typeof turn !== "object" || turn === null) throw corruptAt(path, line, `has a turn ${at + 1} that is no object`);
  const { from, value, role, content, weight, ...further } = turn as Values;
  const name = role ?? from;
  if (typeof name !== "string" || name === "") throw corruptAt(path, line, `has no role in its turn ${at + 1}`);
  if (weight !== undefined && weight !== null && weight !== 0 && weight !== 1)
    throw corruptAt(path, line, `has the weight ${JSON.stringify(weight)} in its turn ${at + 1}; expected 0 or 1`);
  const text = textOf(content ?? value);
  if (text === undefined)
    throw corruptAt(path, line, `has no text in its turn ${at + 1}: "content" must be a text, or a list of text parts`);
  const known = Object.entries(further).filter(([, entry]) => entry !== null && entry !== undefined);
  return {
    role: Object.hasOwn(roles, name) ? roles[name] : name,
    content: text,
    ...Object.fromEntries(known),
    ...(weight === 0 ? { weight: 0 } : {}),
  };
}

/** A text, or the texts of parts such as {"type": "text", "text": "…"}; undefined where there is another part. */
function textOf(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  const parts = content.map((part) => (part as { text?: unknown } | null)?.text);
  return parts.every((part) => typeof part === "string") ? parts.join("") : undefined;
}
