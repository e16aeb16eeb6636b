// Prompt templates: from a row to the parts of the model's input. A part is tokenised alone; the parts marked `truncate` lose
// tokens from their ends when the input is too long. The named templates are those of Yu et al. (2024).
import type { Dataset, Row } from "../../types/data";
import { AttributionError, expected } from "../errors";

export interface Part {
  readonly text: string;
  /** Tokens may be dropped from its end when the input is too long; of several such parts the last one gives first. @default false */
  readonly truncate?: boolean;
  /** Encoders: with this part begins the second text of a pair; the tokenizer's own separator stands before it. @default false */
  readonly second?: boolean;
}

/** A row's parts; for listwise choice the parts of each choice. */
export type TemplateFunction = (row: Row) => readonly Part[] | readonly (readonly Part[])[];
export type TemplateName = "chat" | "claim" | "sentencePair" | "choice" | "prompt" | "instruction" | "text";
/** A name, a function, or a text with {fields} (`{{` for a brace; `{choice}` makes one input per choice; one part, never truncated). */
export type Template = TemplateName | TemplateFunction | (string & {});

/** A template made ready: all rows' inputs, and what the encoder must know beside them. */
export interface ResolvedTemplate {
  /** The parts of each input of a row; "invalid" where the row's texts are all blank. */
  inputs(row: Row): readonly (readonly Part[])[];
  readonly maxLength: number;
  /** Causal LM: the input asks for the label's name, so that it is the answer where the row gives none. */
  readonly asksForLabel: boolean;
  /** Causal LM: the input is a text of its own, or one that something must follow. */
  readonly ends: "text" | "prompt";
  /** The rows are conversations: the tokenizer's own template writes them. */
  readonly isChat: boolean;
}

interface Named {
  /** Fields a row must have, `choices` apart. */
  readonly fields: readonly string[];
  readonly parts: (field: (name: string) => string, choice: string) => readonly Part[];
  /** The same for encoders: their own texts, as a pair where there are two. @default parts */
  readonly pair?: (field: (name: string) => string, choice: string) => readonly Part[];
  readonly listwise?: boolean;
  readonly optional?: string;
  readonly maxLength: number;
  readonly asksForLabel?: boolean;
  readonly ends?: "prompt";
}

const answer: Part = { text: "/ Answer :" };

const named: Readonly<Record<TemplateName, Named>> = {
  // Written by the tokenizer's template: see encode-chat.ts.
  chat: { fields: ["messages"], maxLength: 2048, parts: (field) => [{ text: field("messages") }] },
  claim: {
    fields: ["claim"],
    optional: "evidence",
    maxLength: 512,
    asksForLabel: true,
    ends: "prompt",
    parts: (field) => [
      { text: `Claim : ${field("claim")}` },
      { text: `/ Evidence : ${field("evidence")}`, truncate: true },
      answer,
    ],
    pair: (field) => [{ text: field("claim") }, { text: field("evidence"), truncate: true, second: true }],
  },
  // The premise is what the hypothesis is judged by, so it stands where the evidence stands: it is the part that is cut.
  sentencePair: {
    fields: ["premise", "hypothesis"],
    maxLength: 512,
    asksForLabel: true,
    ends: "prompt",
    parts: (field) => [
      { text: `Premise : ${field("premise")}`, truncate: true },
      { text: `/ Hypothesis : ${field("hypothesis")}` },
      answer,
    ],
    pair: (field) => [
      { text: field("premise"), truncate: true },
      { text: field("hypothesis"), second: true },
    ],
  },
  choice: {
    fields: ["question"],
    listwise: true,
    maxLength: 128,
    ends: "prompt",
    parts: (field, choice) => [
      { text: `Question : ${field("question")}`, truncate: true },
      { text: `/ Choice : ${choice}` },
      answer,
    ],
    pair: (field, choice) => [
      { text: field("question"), truncate: true },
      { text: choice, second: true },
    ],
  },
  prompt: { fields: ["prompt"], maxLength: 512, ends: "prompt", parts: (field) => [{ text: field("prompt") }] },
  // Alpaca's rows: an instruction, often with an input, and the output as the answer.
  instruction: {
    fields: ["instruction"],
    optional: "input",
    maxLength: 512,
    ends: "prompt",
    parts: (field) => [{ text: field("instruction") + (field("input") === "" ? "" : `\n\n${field("input")}`) }],
  },
  text: { fields: ["text"], maxLength: 512, parts: (field) => [{ text: field("text"), truncate: true }] },
};

const templateNames = Object.keys(named) as TemplateName[];

/** The template asked for, or the named one whose fields the data set's rows have; encoders get the fields as they are. */
export function resolveTemplate(template: Template | undefined, dataset: Dataset, isCausal = true): ResolvedTemplate {
  if (typeof template === "function") return fromFunction(template);
  if (template === undefined) return fromName(suitable(dataset), isCausal);
  if (typeof template !== "string" || template === "")
    throw expected("template", "a name, a text with {fields}, or a function", template);
  if ((templateNames as string[]).includes(template)) return fromName(template as TemplateName, isCausal);
  if (template.includes("{")) return fromFormat(template);
  throw new AttributionError(
    "unknown",
    `Unknown template "${template}". Known: ${templateNames.join(", ")}; your own is a function or a text with {fields}`,
  );
}

function suitable(dataset: Dataset): TemplateName {
  const fields = Object.keys(dataset.rows[0]?.fields ?? {});
  const found = templateNames.find((name) =>
    [...named[name].fields, ...(named[name].listwise ? ["choices"] : [])].every((field) => fields.includes(field)),
  );
  if (found !== undefined) return found;
  throw new AttributionError(
    "missing",
    `No template fits rows with the fields ${fields.join(", ")}. Give "template" as a text with {fields} or as a function`,
  );
}

function fromName(name: TemplateName, isCausal: boolean): ResolvedTemplate {
  const {
    fields,
    parts,
    pair = parts,
    listwise,
    optional,
    maxLength,
    asksForLabel = false,
    ends = "text",
  } = named[name];
  const inputs = (row: Row): readonly (readonly Part[])[] => {
    const without = optional !== undefined && row.fields[optional] === undefined;
    const used = optional === undefined || without ? fields : [...fields, optional];
    const texts = new Map(used.map((field) => [field, fieldOf(row, field)]));
    requireText(row, [...texts.values()], used);
    const made = (choice: string): readonly Part[] =>
      (isCausal ? parts : pair)((field) => texts.get(field) ?? "", choice).filter(
        (part) => !(without && part.truncate),
      );
    return listwise ? choicesOf(row).map(made) : [made("")];
  };
  return { inputs, maxLength, asksForLabel, ends, isChat: name === "chat" };
}

/** A text with {fields}: one part, tokenised as one. */
function fromFormat(format: string): ResolvedTemplate {
  const names = new Set<string>();
  for (const [whole, name] of format.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g)) {
    if (name !== undefined) names.add(name);
    else if (whole.length === 1)
      throw expected("template", "a text whose braces are closed ({field}) or doubled ({{)", format);
  }
  const listwise = names.has("choice");
  const inputs = (row: Row): readonly (readonly Part[])[] => {
    const used = [...names].filter((name) => name !== "choice" || row.fields["choice"] !== undefined);
    const texts = new Map(used.map((field) => [field, fieldOf(row, field)]));
    const fill = (choice?: string): readonly Part[] => [
      {
        text: format.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (whole, name?: string) =>
          name === undefined ? whole[0] : name === "choice" && choice !== undefined ? choice : texts.get(name)!,
        ),
      },
    ];
    const perChoice = listwise && row.fields["choice"] === undefined;
    requireText(row, perChoice ? [...texts.values(), ...choicesOf(row)] : [...texts.values()], [...names]);
    return perChoice ? choicesOf(row).map(fill) : [fill()];
  };
  return { inputs, maxLength: 512, asksForLabel: false, ends: "text", isChat: false };
}

function fromFunction(template: TemplateFunction): ResolvedTemplate {
  const inputs = (row: Row): readonly (readonly Part[])[] => {
    const made: unknown = template(row);
    const listed = Array.isArray(made) && made.length > 0 && made.every(Array.isArray) ? (made as unknown[][]) : [made];
    const checked = listed.map((parts) => {
      if (Array.isArray(parts) && parts.length > 0 && parts.every(isPart)) return parts;
      throw expected("template", `a function that gives parts {text, truncate?, second?} (row "${row.id}")`, parts);
    });
    requireText(
      row,
      checked.flat().map((part) => part.text),
      ["the template's parts"],
    );
    return checked;
  };
  return { inputs, maxLength: 512, asksForLabel: false, ends: "text", isChat: false };
}

function isPart(value: unknown): value is Part {
  const part = value as Part | null;
  return (
    typeof part === "object" &&
    part !== null &&
    typeof part.text === "string" &&
    [part.truncate, part.second].every((flag) => flag === undefined || typeof flag === "boolean")
  );
}

function fieldOf(row: Row, name: string): string {
  const value = Object.hasOwn(row.fields, name) ? row.fields[name] : undefined;
  if (typeof value === "string") return value;
  const why =
    value === undefined
      ? `has no field "${name}" (it has ${Object.keys(row.fields).join(", ")})`
      : `has several texts in "${name}"`;
  throw new AttributionError("missing", `Row "${row.id}" ${why}, which the template needs as one text`);
}

function choicesOf(row: Row): readonly string[] {
  const { choices } = row.fields;
  if (Array.isArray(choices) && choices.length > 0) return choices as readonly string[];
  throw new AttributionError("missing", `Row "${row.id}" has no "choices", which the template needs`);
}

function requireText(row: Row, texts: readonly string[], names: readonly string[]): void {
  if (texts.length > 0 && texts.every((text) => text.trim() === "")) {
    throw new AttributionError(
      "invalid",
      `Row "${row.id}" has an empty text: nothing in ${names.join(", ")}. Leave the row out`,
    );
  }
}
