// `attribution report PATH`: the page of a study from its results, or of any report as data.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import type { Report } from "../../../types/report";
import { AttributionError } from "../../errors";
import { writeReport } from "../../report/render";
import { reportOf } from "../../study/report";
import type { StudyResults } from "../../study/results";
import { type Context, requireReadable, requireWritable } from "../context";
import { examplesText } from "../examples-text";

export function reportCommand(program: Command, context: () => Context): void {
  program
    .command("report")
    .description("make the page of a study anew from its results, or of a report of your own")
    .argument("<path>", "a study's folder, its results.json, or a JSON file with title, summary, facts and sections")
    .option("--out <file>", "the page", "report.html")
    .addHelpText(
      "after",
      examplesText([
        "attribution report studies-out/small-claims --out page.html",
        "the study's page, computed from its numbers",
      ]),
    )
    .action((path: string, values: { out: string }) => run(context(), path, values.out));
}

async function run(context: Context, path: string, out: string): Promise<void> {
  const page = await requireWritable(out, "file");
  await requireReadable(path, "The report");
  const file = (await stat(path)).isDirectory() ? join(path, "results.json") : path;
  const value = parsed(file, await readFile(await requireReadable(file, "The report"), "utf8"));
  await writeReport(page, isStudy(value) ? reportOf(value) : (value as Report));
  context.terminal.say(`Page: ${page}`);
}

function isStudy(value: unknown): value is StudyResults {
  return (value as Partial<StudyResults> | null)?.format === "attribution study results";
}

function parsed(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AttributionError("corrupt", `${file} is no JSON: ${(cause as Error).message}`, { cause });
  }
}
