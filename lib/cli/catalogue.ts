// The public functions with their options, as their doc comments state them. docs/catalogue.mjs writes the file at build time.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AttributionError } from "../errors";

export interface OptionEntry {
  readonly name: string;
  /** How a value is written on a command line. */
  readonly kind: "number" | "text" | "boolean" | "choice" | "numbers" | "texts" | "json";
  /** Its TypeScript type. */
  readonly type: string;
  readonly choices?: readonly string[];
  readonly text: string;
  readonly default?: string;
}

export interface FunctionEntry {
  readonly name: string;
  /** The folder of lib/ that it is in: "instance", "neuron", … */
  readonly room: string;
  readonly file: string;
  /** The formula and what it means. */
  readonly meaning: string;
  /** What a positive value says. */
  readonly sign?: string;
  readonly unit?: string;
  readonly source?: string;
  readonly cost?: string;
  readonly example?: string;
  readonly options: readonly OptionEntry[];
}

let entries: readonly FunctionEntry[] | undefined;

export function catalogue(): readonly FunctionEntry[] {
  const file = join(__dirname, "catalogue.json");
  if (entries === undefined && !existsSync(file))
    throw new AttributionError(
      "missing",
      `${file} is missing: run "npm run build:ts" in a clone, or install the package again`,
    );
  entries ??= JSON.parse(readFileSync(file, "utf8")) as FunctionEntry[];
  return entries;
}

/** The entry of a public function; every name that the command line uses has one. */
export function entryOf(name: string): FunctionEntry {
  const found = catalogue().find((entry) => entry.name === name);
  if (found === undefined) throw new AttributionError("unknown", `The catalogue has no function "${name}"`);
  return found;
}
