// `attribution methods`: the catalogue of methods, from the public functions' own documentation.
import type { Command } from "commander";
import { catalogue, type FunctionEntry } from "../catalogue";
import type { Context } from "../context";
import { examplesText } from "../examples-text";
import { flagOf } from "../flags";
import { AttributionError } from "../../errors";
import { wrapped } from "../table";

const rooms: Readonly<Record<string, string>> = {
  instance: "Over training instances",
  neuron: "Over neurons and heads",
  alignment: "Aligned",
  faithfulness: "Tests of faithfulness",
  analysis: "Analysis",
};

export function methodsCommand(program: Command, context: () => Context): void {
  program
    .command("methods")
    .description("the catalogue of methods: formula, unit, sign, source, cost, options")
    .argument("[name]", "one method in full")
    .option("--json", "the catalogue as JSON")
    .addHelpText(
      "after",
      examplesText(["attribution methods", "all of them"], ["attribution methods influence", "one with its options"]),
    )
    .action((name: string | undefined, values: { json?: boolean }) => run(context(), name, values.json === true));
}

function run({ terminal }: Context, name: string | undefined, asJson: boolean): void {
  const entries = catalogue().filter((entry) =>
    name === undefined ? entry.room in rooms : entry.name.toLowerCase() === name.toLowerCase(),
  );
  if (entries.length === 0)
    throw new AttributionError("unknown", `Unknown method "${name}". \`attribution methods\` lists them`);
  if (asJson) return terminal.json(entries);
  const width = Math.min(terminal.width, 110);
  if (name !== undefined) return void entries.forEach((entry) => terminal.say(inFull(entry, width)));
  for (const [room, title] of Object.entries(rooms)) {
    terminal.heading(`\n${title}`);
    for (const entry of entries.filter((each) => each.room === room))
      terminal.say([entry.name, ...wrapped(firstSentence(entry.meaning), width, "    ")].join("\n"));
  }
}

function firstSentence(text: string): string {
  return /^.*?[.:](?= [A-Z(]|$)/.exec(text)?.[0] ?? text;
}

function inFull(entry: FunctionEntry, width: number): string {
  const parts: readonly (readonly [string, string | undefined])[] = [
    ["Sign: positive", entry.sign],
    ["Unit", entry.unit],
    ["Source", entry.source],
    ["Cost", entry.cost],
    ["Example", entry.example],
  ];
  const options = entry.options.flatMap(({ name, text, type, default: fallback }) => [
    `  ${flagOf(name)}  (${name}: ${type})`,
    ...wrapped(`${text}${fallback === undefined ? "" : ` Default: ${fallback}`}`, width, "      "),
  ]);
  return [
    entry.name,
    ...wrapped(entry.meaning, width, "  "),
    ...parts.flatMap(([label, text]) => (text === undefined ? [] : wrapped(`${label}: ${text}`, width, "  "))),
    ...(options.length === 0 ? [] : ["", "Options", ...options]),
  ].join("\n");
}
