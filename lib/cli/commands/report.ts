// `attribution report FILE`: a page from a report as data.
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Report } from "../../../types/report";
import { AttributionError } from "../../errors";
import { writeReport } from "../../report/render";
import { type Context, requireReadable, requireWritable } from "../context";
import { examplesText } from "../examples-text";

export function reportCommand(program: Command, context: () => Context): void {
  program
    .command("report")
    .description("make a page from a report as data (title, summary, facts, sections; see the type Report)")
    .argument("<file>", "a JSON file; `attribution run` writes one as report.json")
    .option("--out <file>", "the page", "report.html")
    .addHelpText(
      "after",
      examplesText(["attribution report my-study/report.json --out page.html", "write the page anew"]),
    )
    .action((file: string, values: { out: string }) => run(context(), file, values.out));
}

async function run(context: Context, file: string, out: string): Promise<void> {
  const page = await requireWritable(out, "file");
  const text = await readFile(await requireReadable(file, "The report"), "utf8");
  await writeReport(page, parsed(file, text));
  context.terminal.say(`Page: ${page}`);
}

function parsed(file: string, text: string): Report {
  try {
    return JSON.parse(text) as Report;
  } catch (cause) {
    throw new AttributionError("corrupt", `${file} is no JSON: ${(cause as Error).message}`, { cause });
  }
}
