// `attribution run STUDY`: the experiments that a study.json names, or a preset; `--plan` says what would be computed.
import { join } from "node:path";
import type { Command } from "commander";
import { reportOf } from "../../study/report";
import { findStudy, presetNames } from "../../study/presets";
import { definitionJsonSchema, type Definition } from "../../study/definition";
import { duration } from "../../study/duration";
import { planStudy, runStudy, type StudyPlan } from "../../study/run";
import type { StudyResults } from "../../study/results";
import { type Context, requireWritable } from "../context";
import { examplesText } from "../examples-text";
import { numberOf } from "../flags";
import { wrapped } from "../table";

interface RunValues {
  readonly out?: string;
  readonly root?: string;
  readonly plan?: boolean;
  readonly json?: boolean;
  readonly schema?: boolean;
  readonly seed?: number;
}

export function runCommand(program: Command, context: () => Context): void {
  program
    .command("run")
    .description("run a study: models × data sets × methods × tests, with a report; a rerun computes only what changed")
    .argument("[study]", `a study.json, or a preset: ${presetNames.join(", ")}`)
    .option(
      "--out <folder>",
      "results.json, tables, index.html, and what is kept for the next run (default: studies-out/ and the name)",
    )
    .option(
      "--root <folder>",
      "where relative paths of models and data start (default: beside the study.json; of a preset: here)",
    )
    .option("--plan", "say what would be computed and what is kept, with time and memory, and stop")
    .option("--seed <n>", "instead of the study's own seed", numberOf)
    .option("--json", "the results, or the plan, as JSON")
    .option("--schema", "print the JSON schema of study.json, and stop")
    .addHelpText(
      "after",
      examplesText(
        ["attribution run small/claims", "three small models trained from scratch, all tests, 10 minutes on 2 cores"],
        ["attribution run paper/mnli --root ~/paper --plan", "what the paper's recipe would take"],
        ["attribution run my-study.json", "goes on where it was stopped"],
      ),
    )
    .action((study: string | undefined, values: RunValues) => run(context(), study, values));
}

async function run(context: Context, study: string | undefined, values: RunValues): Promise<void> {
  const { terminal } = context;
  if (values.schema === true) return terminal.json(definitionJsonSchema());
  if (study === undefined) return terminal.say(`Name a study.json or a preset: ${presetNames.join(", ")}`);
  const found = await findStudy(study);
  const definition = values.seed === undefined ? found.definition : { ...found.definition, seed: values.seed };
  const out = await requireWritable(
    values.out ?? join("studies-out", definition.name.replace(/[^\w.-]+/g, "-")),
    "folder",
  );
  const request = { definition, out, root: values.root ?? found.root };
  if (values.plan === true) return showPlan(context, await planStudy({ ...request, observer: context }), values);
  showStudy(context, await runAndShow(context, request), values.json === true, out);
}

/** Runs a study as a command does it: small models run fastest on one thread. */
export async function runAndShow(
  context: Context,
  request: { definition: Definition; out: string; root: string },
): Promise<StudyResults> {
  if (request.definition.models.every(({ create }) => create !== undefined)) process.env["ATTRIBUTION_THREADS"] ??= "1";
  return runStudy({ ...request, observer: context });
}

/** The sentences and tables on the terminal, and where the files are. */
export function showStudy({ terminal }: Context, results: StudyResults, asJson: boolean, out: string): void {
  if (asJson) return terminal.json(results);
  const report = reportOf(results);
  const width = Math.min(terminal.width, 110);
  for (const { title, explanation, blocks } of report.sections) {
    const shown = blocks.filter(({ kind }) => kind === "table" || kind === "text");
    if (shown.length === 0) continue;
    terminal.heading(`\n── ${title}`);
    terminal.say(wrapped(explanation, width).join("\n"));
    for (const block of shown) {
      terminal.say("");
      if (block.kind === "table") terminal.table(block);
      if (block.kind === "text") terminal.say(wrapped(block.text, width).join("\n"));
    }
  }
  terminal.say(
    `\nReport: ${join(out, "index.html")}\nNumbers: ${join(out, "results.json")} and ${join(out, "tables")}`,
  );
}

function showPlan({ terminal }: Context, plan: StudyPlan, values: RunValues): void {
  if (values.json === true) return terminal.json(plan);
  terminal.table({
    caption: "Plan",
    columns: [
      { label: "Of" },
      { label: "Stage" },
      { label: "Step" },
      { label: "Kept" },
      { label: "Time", unit: "s", digits: 0 },
    ],
    rows: plan.steps.map(({ subject, stage, title, isKept, bytes, seconds }) => [
      subject,
      stage,
      title,
      isKept ? `${(bytes / 1e6).toFixed(1)} MB` : "no",
      isKept ? null : Math.ceil(seconds),
    ]),
    notes: [
      `To compute: about ${duration(1000 * plan.seconds)}, from the speed of a short run; it may be off by a factor of 2.`,
      `Peak memory while tuning: about ${Math.ceil(plan.peakMemoryBytes / 1e6)} MB beside the program; free now: ${Math.floor(plan.freeMemoryBytes / 1e6)} MB.`,
    ],
  });
}
