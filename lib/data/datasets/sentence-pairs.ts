// Sentence pairs of natural language inference, in every published shape: MultiNLI and SNLI jsonl (sentence1, sentence2,
// gold_label), plain jsonl (premise, hypothesis, label), tsv with either header, and headerless tsv of three columns.
import { type JsonRecord, readJsonObjects } from "../read-json";
import { cellsOf, readTabbed, type TableRow } from "../read-table";
import { corruptAt, firstCharacter, readLines } from "../read-text";
import { idOf, isNoLabel, type SourceRow, textAt } from "../source-row";

export const inferenceLabels = ["entailment", "neutral", "contradiction"] as const;

/** Reads the file by its own shape. `kept`: further columns to keep as fields, where the file has them. */
export async function* readSentencePairs(path: string, kept: readonly string[] = []): AsyncGenerator<SourceRow> {
  const first = await firstCharacter(path);
  if (first === "{" || first === "[") yield* pairs(path, readJsonObjects(path), kept);
  else yield* tabbed(path, kept);
}

async function* tabbed(path: string, kept: readonly string[]): AsyncGenerator<SourceRow> {
  const header = await firstLine(path);
  const columns = header.map((column) => column.trim());
  if (columns.includes("sentence1") || columns.includes("premise")) yield* pairs(path, readTabbed(path), kept);
  else if (columns.length === 3) yield* headerless(path);
  else
    throw corruptAt(
      path,
      1,
      "expected a header with sentence1 and sentence2, or premise and hypothesis, separated by tabs",
    );
}

async function firstLine(path: string): Promise<string[]> {
  for await (const line of readLines(path)) return cellsOf(line);
  return [];
}

async function* pairs(
  path: string,
  records: AsyncGenerator<JsonRecord | TableRow>,
  kept: readonly string[],
): AsyncGenerator<SourceRow> {
  for await (const { value, line } of records) {
    const official = "sentence1" in value;
    const id = value["pairID"] ?? value["id"] ?? value["idx"] ?? value["uid"];
    yield {
      ...idOf(path, line, id),
      fields: {
        premise: textAt(path, line, value, official ? "sentence1" : "premise"),
        hypothesis: textAt(path, line, value, official ? "sentence2" : "hypothesis"),
        ...Object.fromEntries(
          kept.filter((name) => typeof value[name] === "string").map((name) => [name, value[name] as string]),
        ),
      },
      label: labelOf(path, line, value),
      line,
    };
  }
}

function labelOf(path: string, line: number, value: Readonly<Record<string, unknown>>): string | number | undefined {
  const label = value["gold_label"] ?? value["label"];
  // "-" is left to who reads the corpus: annotators who did not agree.
  if (label !== "-" && (isNoLabel(label) || label === "hidden")) return undefined;
  if (typeof label === "string" || typeof label === "number") return label;
  throw corruptAt(path, line, `expected the label to be a text or a number but found ${JSON.stringify(label)}`);
}

async function* headerless(path: string): AsyncGenerator<SourceRow> {
  for await (const line of readLines(path)) {
    const [premise, hypothesis, label, ...more] = cellsOf(line);
    if (premise === undefined || hypothesis === undefined || label === undefined || more.length > 0) {
      throw corruptAt(path, line.number, "expected premise, hypothesis and label, separated by tabs");
    }
    yield { fields: { premise, hypothesis }, label: label.trim(), line: line.number };
  }
}

/** Rows whose annotators did not agree carry "-" and are left out, as everyone who uses these corpora does. */
export async function* agreedOnly(rows: AsyncGenerator<SourceRow>): AsyncGenerator<SourceRow> {
  for await (const row of rows) if (row.label !== "-") yield row;
}
