// Conversations to token rows: the template writes them, and only the assistant's tokens are targets.
import type { Row } from "../../types/data";
import { AttributionError } from "../errors";
import type { Message } from "./conversation";
import { checkIds, type EncodedRow, type EncodingModel } from "./encoded-row";
import { nextTokens, noTarget } from "./instances";
import { renderChats } from "./tokenizer";
import type { Chat } from "./tokenizers/chat";

export interface ChatPlan {
  readonly model: EncodingModel;
  readonly maxLength: number;
  readonly start: readonly number[];
  readonly targets: "all" | "answer" | "next";
  readonly chatTemplate: string | undefined;
  readonly templateValues: Readonly<Record<string, unknown>>;
  labelOf(row: Row): number;
}

export async function encodeChats(plan: ChatPlan, rows: readonly Row[]): Promise<EncodedRow[]> {
  const { model, targets, chatTemplate: template, templateValues: values } = plan;
  if (model.architecture.head.kind === "choice")
    throw new AttributionError("mismatch", "Conversations have no choices, but the model has a choice head");
  if (model.architecture.head.kind === "maskedLM")
    throw new AttributionError("mismatch", "A masked language model answers no conversations: load a causal one");
  const chats = await renderChats(model.tokenizer, {
    conversations: rows.map(messagesOf),
    values,
    asks: model.architecture.head.kind === "causalLM" && targets === "next",
    ...(template === undefined ? {} : { template }),
  });
  return rows.map((row, at) => finished(plan, row, chats[at]));
}

function messagesOf(row: Row): readonly Message[] {
  try {
    const messages: unknown = JSON.parse(String(row.fields["messages"]));
    const isTurn = (turn: unknown): boolean => typeof (turn as Message | null)?.role === "string";
    if (Array.isArray(messages) && messages.length > 0 && messages.every(isTurn)) return messages as Message[];
  } catch {
    // said below
  }
  throw new AttributionError(
    "invalid",
    `Row "${row.id}" has no conversation: expected the field "messages" to be a list of turns with "role" and "content", as JSON`,
  );
}

function finished(plan: ChatPlan, row: Row, chat: Chat): EncodedRow {
  const { model, targets } = plan;
  const start = plan.start.length > 0 && plan.start[0] !== chat.ids[0] ? plan.start : [];
  const whole = Int32Array.from([...start, ...chat.ids]);
  const isCausal = model.architecture.head.kind === "causalLM";
  const asksNext = isCausal && targets === "next";
  const answer = asksNext && chat.answer >= 0 ? start.length + chat.answer : whole.length;
  if (asksNext && answer > plan.maxLength)
    throw new AttributionError(
      "invalid",
      `Row "${row.id}" has ${answer} tokens before the answer where ${plan.maxLength} fit, and no part of a prompt may be cut`,
    );
  const ids = whole.slice(0, asksNext ? answer : plan.maxLength);
  checkIds(model, row, ids);
  const made = { id: row.id, rows: [ids], types: [undefined], text: chat.text };
  if (!isCausal) return { ...made, label: plan.labelOf(row), targets: undefined };
  if (asksNext) {
    const label = whole[answer] ?? -1;
    return { ...made, label, targets: nextTokens(ids, label).fill(noTarget, 0, ids.length - 1) };
  }
  const following = nextTokens(ids, -1);
  if (targets === "all") return { ...made, label: -1, targets: following };
  const counted = new Int32Array(ids.length).fill(noTarget);
  for (const [from, to] of chat.spans)
    for (let at = Math.max(1, start.length + from); at < Math.min(ids.length, start.length + to); at++)
      counted[at - 1] = ids[at];
  return { ...made, label: -1, targets: counted };
}
