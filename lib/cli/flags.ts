// Flags from the options of public functions: the same name, the same default, the same words, from the catalogue. What a flag's
// value must be is checked by the function itself; here text becomes a value.
import { type Command, InvalidArgumentError, Option } from "commander";
import { AttributionError } from "../errors";
import { entryOf, type OptionEntry } from "./catalogue";

/** Values of a command's flags by the options' names. */
export type Values = Readonly<Record<string, unknown>>;

/** batchTokens → --batch-tokens */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Gives a command a flag for each option of the functions named; an option that several have is one flag. */
export function addFlags(command: Command, functions: readonly string[], without: readonly string[] = []): Command {
  const taken = new Set([...without, ...command.options.map((option) => option.attributeName())]);
  for (const entry of functions.flatMap((name) => entryOf(name).options)) {
    if (taken.has(entry.name)) continue;
    taken.add(entry.name);
    command.addOption(optionOf(entry));
  }
  return command;
}

/** Shows only the named flags in --help, and all of them by --help-all. */
export function shortenHelp(command: Command, flags: readonly string[]): Command {
  const others = command.options.filter(({ long }) => !flags.includes(long ?? ""));
  for (const option of others) option.hideHelp();
  return command.option("--help-all", `show the ${others.length} other options, too`).on("option:help-all", () => {
    for (const option of others) option.hideHelp(false);
    command.help();
  });
}

function optionOf(entry: OptionEntry): Option {
  const flag = flagOf(entry.name);
  const words = [firstSentence(entry.text), entry.default === undefined ? "" : `(default: ${entry.default})`];
  const option = new Option(
    entry.kind === "boolean" ? `${flag} [true|false]` : `${flag} <${placeholder(entry)}>`,
    words.filter((part) => part !== "").join(" "),
  );
  return entry.kind === "boolean"
    ? option.argParser((text: unknown) => booleanOf(text))
    : option.argParser((text: string) => valueOf(entry, text));
}

function placeholder({ kind, choices }: OptionEntry): string {
  if (kind === "choice" && choices !== undefined && choices.length <= 6) return choices.join("|");
  return {
    number: "n",
    text: "text",
    boolean: "true",
    choice: "name",
    numbers: "n,n,…",
    texts: "a,b,…",
    json: "value",
  }[kind];
}

function firstSentence(text: string): string {
  return /^.*?\.(?= [A-Z"(]|$)/.exec(text)?.[0] ?? text;
}

function booleanOf(text: unknown): boolean {
  if (text === "true") return true;
  if (text === "false") return false;
  throw new InvalidArgumentError("Expected true or false.");
}

function valueOf(entry: OptionEntry, text: string): unknown {
  const { kind, choices = [] } = entry;
  if (kind === "number") return numberOf(text);
  if (kind === "numbers") return text.split(",").map((part) => numberOf(part));
  if (kind === "texts") return text.split(",");
  if (kind === "choice" && !choices.includes(text))
    throw new InvalidArgumentError(`Allowed choices are ${choices.join(", ")}.`);
  return kind === "json" || entry.type === "number | string" ? jsonOrText(text) : text;
}

export function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

/** `["layers.3.*"]`, `{"topK": 5}`, `0.5` or null as JSON; anything else is a text. */
function jsonOrText(text: string): unknown {
  if (!/^\s*([[{"]|-?\d|true\b|false\b|null\b)/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The values that a function knows, for its options. */
export function optionsFor(name: string, values: Values): Record<string, unknown> {
  const known = entryOf(name).options.map((option) => option.name);
  return Object.fromEntries(
    Object.entries(values).filter(([key, value]) => known.includes(key) && value !== undefined),
  );
}

/** Refuses flags that are for other methods than the chosen one: a flag must never be ignored. */
export function refuseStray(
  chosen: string,
  others: readonly string[],
  values: Values,
  shared: readonly string[],
): void {
  const known = new Set([...entryOf(chosen).options.map((option) => option.name), ...shared]);
  const stray = others
    .flatMap((name) => entryOf(name).options.map((option) => option.name))
    .find((name) => !known.has(name) && values[name] !== undefined);
  if (stray !== undefined)
    throw new AttributionError("invalid", `${flagOf(stray)} is no option of ${chosen}; leave it out`);
}
