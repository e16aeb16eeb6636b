// encode: from readable rows to token rows for one model. Builds each row's parts by a template, tokenises every part alone,
// cuts what is too long, and turns labels by name into the model's classes, choices or next tokens.
import type { CallOptions } from "../../types/common";
import type { Dataset, Instances, Row } from "../../types/data";
import { AttributionError, expected } from "../errors";
import { boolean, integer, oneOf, onlyKnown, text as textOption } from "../options";
import { requireDataset } from "./dataset";
import { encodeChats } from "./encode-chat";
import { layOut, type LayoutPlan } from "./encode-layout";
import { draftMasked, finishMasked, type Mask, type MaskedDraft, maskOf } from "./encode-masked";
import { checkIds, type EncodedRow, type EncodingModel } from "./encoded-row";
import { layInstances, nextTokens, noTarget } from "./instances";
import { labelReader } from "./label-reader";
import { pacedBy } from "../pacing";
import { type Part, type ResolvedTemplate, resolveTemplate, type Template } from "./templates";

export type { EncodingModel };

export interface EncodeOptions extends CallOptions {
  /** How a row becomes text. @default the paper's template for the rows' fields: "chat", "claim", "sentencePair", "choice", "prompt", "instruction" or "text" */
  readonly template?: Template;
  /** Longest input in tokens, the start token included. @default 512 ("choice": 128, "chat": 2048), at most the model's positions */
  readonly maxLength?: number;
  /**
   * Begin each input with the tokenizer's start tokens, unless it begins with them already. true: also where its files ask for
   * none, then with bos (else eos). @default what its own files ask for (`tokenizer.start`)
   */
  readonly startToken?: boolean;
  /** End each whole text (not a prompt that something follows) with the tokenizer's end tokens. @default what its own files ask for */
  readonly endToken?: boolean;
  /** Classification: the model's class (name or index; −1 for none) by the data set's label. @default the class of the same name */
  readonly labels?: Readonly<Record<string, string | number>>;
  /**
   * Causal LM, what each row holds and which tokens count. "all": the text (and answer), every token. "answer": prompt and
   * answer, the answer's tokens only. "next": the prompt, and the answer's first token as what comes next (`labels` has it).
   * The answer is the field `answer`, `completion` or `output`, or after a "claim" or "sentencePair" the label's name. Prompt and
   * answer are tokenised as one text. Where a token spans both, the prompt ends before it and the answer begins with it.
   * @default "answer" where rows have a `completion` or `output`; "next" where they have other answers or are prompts; else "all"
   */
  readonly targets?: "all" | "answer" | "next";
  /** Causal LM: stands between prompt and answer where neither has a space there. @default " " */
  readonly answerSeparator?: string;
  /** Conversations: a Jinja template. @default the one of the tokenizer's files */
  readonly chatTemplate?: string;
  /** Conversations: further variables of the template, such as `{ enable_thinking: false }`. @default {} */
  readonly templateValues?: Readonly<Record<string, unknown>>;
}

/**
/**
 * Encodes a data set for a model. An unknown label stays −1. A blank text, an input that is too long and has no part to cut,
 * a label the model has no class for, and ids the model has no embedding for are refused. A masked LM's text holds its mask token
 * once, and the row's answer, of one token, belongs there. Encoders get the texts of a pair with their tokenizer's own separators
 * and types. Rows with `messages` are conversations:
 * the tokenizer's chat template writes them, and by default only the assistant's tokens are targets. Its turns are what the template
 * marks by `{% generation %}`; without marks, what a turn adds to the text of the turns before it with the generation prompt, up to
 * white space at its end. A conversation that is too long loses its end.
 * @example const instances = await encode(model, dataset, { template: "Review: {text}\nSentiment:" })
 */
export async function encode(model: EncodingModel, dataset: Dataset, options: EncodeOptions = {}): Promise<Instances> {
  const plan = await planOf(model, dataset, options);
  const batch = plan.template.isChat ? encodeChats : encodeBatch;
  const pace = pacedBy(options.signal);
  const made = {
    rows: [] as Int32Array[],
    groups: [] as number[],
    labels: [] as number[],
    targets: [] as Int32Array[],
    types: [] as (Int32Array | undefined)[],
    ids: [] as string[],
    texts: [] as string[],
  };
  for (let start = 0; start < dataset.rows.length; start += rowsPerBatch) {
    for (const encoded of await batch(plan, dataset.rows.slice(start, start + rowsPerBatch), pace)) {
      made.rows.push(...encoded.rows);
      made.types.push(...encoded.types);
      made.groups.push(encoded.rows.length);
      made.labels.push(encoded.label);
      if (encoded.targets !== undefined) made.targets.push(encoded.targets);
      made.ids.push(encoded.id);
      made.texts.push(encoded.text);
    }
    await options.onProgress?.({ done: made.ids.length, total: dataset.rows.length, stage: "encode" });
    await pace();
  }
  const added = Object.freeze({ start: plan.start, end: plan.end });
  const { types, ...laid } = made;
  const tokenTypes = types.some((row) => row !== undefined)
    ? types.map((row, index) => row ?? new Int32Array(made.rows[index].length))
    : undefined;
  return layInstances(
    { kind: model.architecture.head.kind, added, ...laid, ...(tokenTypes !== undefined && { tokenTypes }) },
    pace,
  );
}

const rowsPerBatch = 128;
type Targets = NonNullable<EncodeOptions["targets"]>;

interface Plan extends LayoutPlan {
  readonly model: EncodingModel;
  readonly template: ResolvedTemplate;
  readonly targets: Targets;
  /** Masked LM only. */
  readonly mask: Mask | undefined;
  readonly separator: string;
  readonly chatTemplate: string | undefined;
  readonly templateValues: Readonly<Record<string, unknown>>;
  labelOf(row: Row): number;
  /** Causal LM only: the text that must follow the input. */
  answerOf(row: Row): string | undefined;
}

async function planOf(model: EncodingModel, dataset: Dataset, options: EncodeOptions): Promise<Plan> {
  const bag = onlyKnown(options, [
    "template",
    "maxLength",
    "startToken",
    "endToken",
    "labels",
    "targets",
    "answerSeparator",
    "chatTemplate",
    "templateValues",
    "signal",
    "onProgress",
  ]);
  requireDataset(dataset);
  if (typeof model?.tokenizer?.encode !== "function" || typeof model.architecture?.head?.kind !== "string")
    throw expected("model", "a Model, or what has its tokenizer, architecture and labels", model);
  if (dataset.rows.length === 0) throw new AttributionError("invalid", `The data set "${dataset.name}" has no rows`);
  const { head, positions } = model.architecture;
  const template = resolveTemplate(options.template, dataset, model.architecture.causal !== false);
  const causal = head.kind === "causalLM";
  const foreign = { causalLM: ["labels"], maskedLM: ["labels", "targets", "answerSeparator"] } as const;
  for (const name of foreign[head.kind as "maskedLM"] ?? (["targets", "answerSeparator"] as const)) {
    if (options[name] !== undefined)
      throw new AttributionError("invalid", `"${name}" is not for a model with a ${head.kind} head`);
  }
  const { isChat } = template;
  const separator = options.answerSeparator ?? " ";
  if (typeof separator !== "string") throw expected("answerSeparator", "a string", separator);
  const answerOf = (row: Row): string | undefined => answerIn(row, template, dataset);
  const completes = causal && dataset.rows.some((row) => completionOf(row) !== undefined);
  const asks = causal && (template.ends === "prompt" || dataset.rows.some((row) => answerOf(row) !== undefined));
  const targets = oneOf<Targets>(bag, "targets", completes || isChat ? "answer" : asks ? "next" : "all", [
    "all",
    "answer",
    "next",
  ]);
  return {
    model,
    template,
    separator,
    answerOf,
    maxLength: integer(bag, "maxLength", Math.min(template.maxLength, positions), 1, positions),
    ...chatOptions(bag, isChat),
    start:
      isChat && options.startToken === undefined
        ? []
        : startOf(model, options.startToken === undefined ? undefined : boolean(bag, "startToken", true)),
    end: boolean(bag, "endToken", true) && !isChat && !(causal && targets === "next") ? model.tokenizer.end : [],
    targets,
    mask: head.kind === "maskedLM" ? await maskOf(model.tokenizer) : undefined,
    labelOf: causal || head.kind === "maskedLM" ? () => -1 : labelReader(model, dataset, options.labels),
  };
}

function chatOptions(
  bag: Readonly<Record<string, unknown>>,
  isChat: boolean,
): Pick<Plan, "chatTemplate" | "templateValues"> {
  const { templateValues = {} } = bag;
  for (const name of isChat ? [] : ["chatTemplate", "templateValues"]) {
    if (bag[name] !== undefined)
      throw new AttributionError("invalid", `"${name}" is for conversations, rows with the field "messages"`);
  }
  if (Object.prototype.toString.call(templateValues) !== "[object Object]")
    throw expected("templateValues", "an object", templateValues);
  return {
    chatTemplate: bag["chatTemplate"] === undefined ? undefined : textOption(bag, "chatTemplate"),
    templateValues: templateValues as Plan["templateValues"],
  };
}

/** `wanted`: undefined for what the files ask for. */
function startOf({ tokenizer }: EncodingModel, wanted: boolean | undefined): readonly number[] {
  if (wanted === false) return [];
  const usual = tokenizer.special.bos ?? tokenizer.special.eos;
  return tokenizer.start.length > 0 || wanted === undefined || usual === undefined ? tokenizer.start : [usual];
}

function completionOf({ fields }: Row): string | undefined {
  return [fields["completion"], fields["output"]].find((field) => typeof field === "string");
}

function answerIn(row: Row, template: ResolvedTemplate, dataset: Dataset): string | undefined {
  const { answer } = row.fields;
  const written = typeof answer === "string" ? answer : completionOf(row);
  const label = template.asksForLabel && row.label >= 0 ? dataset.labels[row.label] : undefined;
  const found = written ?? label;
  return found === undefined || found.trim() === "" ? undefined : found;
}

/** A row's inputs before they are tokenised; `prompt` and `whole` only where an answer follows (its last part, and both as one). */
interface Draft {
  readonly row: Row;
  readonly inputs: readonly (readonly Part[])[];
  readonly answer?: { readonly text: string; readonly whole: string };
  /** Masked LM: the part with the mask, and where an answer is known the same with the answer in the mask's place. */
  readonly masked?: MaskedDraft;
}

async function encodeBatch(plan: Plan, rows: readonly Row[], pace: () => Promise<void>): Promise<EncodedRow[]> {
  const drafts = rows.map((row) => draftOf(plan, row));
  const texts = new Set(
    drafts.flatMap(({ inputs, answer, masked }) => [
      ...inputs.flat().map((part) => part.text),
      ...(answer === undefined ? [] : [answer.whole]),
      ...(masked?.filled === undefined ? [] : [masked.filled]),
    ]),
  );
  const distinct = [...texts];
  const encoded = await plan.model.tokenizer.encode(distinct);
  const idsOf = new Map(distinct.map((text, index) => [text, encoded[index]]));
  const finished: EncodedRow[] = [];
  for (const draft of drafts) {
    finished.push(finish(plan, draft, (text) => idsOf.get(text)!));
    await pace();
  }
  return finished;
}

function draftOf(plan: Plan, row: Row): Draft {
  const { kind } = plan.model.architecture.head;
  const inputs = plan.template.inputs(row);
  if (kind !== "choice" && inputs.length > 1)
    throw new AttributionError(
      "mismatch",
      `Row "${row.id}" has ${inputs.length} choices, but the model has a ${kind} head`,
    );
  if (kind === "choice") requireChoices(row, inputs.length);
  if (plan.mask !== undefined)
    return { row, inputs, masked: draftMasked(plan.mask, row, inputs[0], plan.answerOf(row)) };
  const answer = kind === "causalLM" ? plan.answerOf(row) : undefined;
  if (answer === undefined) {
    if (kind === "causalLM" && plan.targets === "answer")
      throw new AttributionError("missing", `Row "${row.id}" has no answer, which targets: "answer" needs`);
    return { row, inputs };
  }
  // Spaces between prompt and answer belong to the answer, as in the vocabularies' own words.
  const parts = [...inputs[0]];
  const last = parts.pop()!;
  const prompt = last.text.trimEnd();
  const space = last.text.slice(prompt.length) || (/^\s/.test(answer) ? "" : plan.separator);
  return {
    row,
    inputs: [[...parts, { ...last, text: prompt }]],
    answer: { text: space + answer, whole: prompt + space + answer },
  };
}

function requireChoices(row: Row, inputs: number): void {
  const { choices } = row.fields;
  if (Array.isArray(choices) && choices.length === inputs && row.label < inputs) return;
  const found = Array.isArray(choices)
    ? `${choices.length} choices but the template made ${inputs} inputs of them`
    : "no choices";
  throw new AttributionError(
    "mismatch",
    `Row "${row.id}" has ${found}; a model with a choice head needs an input for each choice`,
  );
}

function finish(plan: Plan, { row, inputs, answer, masked }: Draft, idsOf: (text: string) => Int32Array): EncodedRow {
  const text = inputs.map((parts) => parts.map((part) => part.text).join("")).join("\n");
  const causal = plan.model.architecture.head.kind === "causalLM";
  const last = inputs[0].at(-1)!;
  const shared = answer === undefined ? undefined : sharedTokens(idsOf(last.text), idsOf(answer.whole));
  const following = answer === undefined ? new Int32Array() : idsOf(answer.whole).subarray(shared);
  const behind = Int32Array.from([...(plan.targets === "next" ? [] : following), ...plan.end]);
  const inputsLaid = inputs.map((parts) => {
    const encoded = parts.map((part) => ({
      ...part,
      ids: idsOf(part.text).subarray(0, part === last ? shared : undefined),
    }));
    return layOut(plan, row, encoded, behind);
  });
  const rows = inputsLaid.map(({ ids }) => ids);
  const types = inputsLaid.map(({ types }) => types);
  for (const ids of rows) checkIds(plan.model, row, ids);
  if (plan.mask !== undefined) return { ...finishMasked(plan.mask, row, rows[0], masked, idsOf), types, text };
  if (answer !== undefined && rows[0].length === behind.length)
    throw new AttributionError(
      "invalid",
      `Row "${row.id}" has no token before its answer: its first token spans prompt and answer. Give a longer prompt, or startToken: true`,
    );
  if (!causal) return { id: row.id, rows, types, label: plan.labelOf(row), targets: undefined, text };
  const label = plan.targets === "next" ? (following[0] ?? -1) : -1;
  const targets = nextTokens(rows[0], label);
  const counted = { all: targets.length, answer: behind.length + 1, next: 1 }[plan.targets];
  return {
    id: row.id,
    rows,
    types,
    label,
    targets: targets.fill(noTarget, 0, Math.max(0, targets.length - counted)),
    text: plan.targets === "next" ? text : text + (answer?.text ?? ""),
  };
}

/** How many tokens the prompt alone and the whole text begin with alike; behind them begins the answer. */
function sharedTokens(prompt: Int32Array, whole: Int32Array): number {
  const differs = prompt.findIndex((id, index) => whole[index] !== id);
  return differs < 0 ? prompt.length : differs;
}
