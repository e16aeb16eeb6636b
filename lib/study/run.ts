// Runs a study, or plans it: subjects, stages, results.json, the tables as CSV and the report.
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { freemem } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CallOptions } from "../../types/common";
import { selectInstances } from "../data/instances";
import { evaluate } from "../model/evaluate";
import { libtorchVersion } from "../native";
import { libraryVersion } from "../provenance";
import { writeReport } from "../report/render";
import { writeBeside } from "../storage/files";
import { studyData } from "./data";
import type { Definition } from "./definition";
import { keeperIn, tidy } from "./keeper";
import { reportOf } from "./report";
import type { StudyResults, SubjectResults } from "./results";
import { alignStage } from "./stages/align";
import { analyse, type Stages } from "./stages/analyse";
import { attributeStage } from "./stages/attribute";
import { probeStage } from "./stages/probe";
import { testStage } from "./stages/test";
import { type Observer, type Step, type StepTime, type Workshop, workshopOf } from "./steps";
import { openSubject, type Subject } from "./subject";
import { csvOf, tablesOf } from "./tables";

export interface StudyRun {
  readonly definition: Definition;
  /** Gets results.json, tables/, index.html, and what is kept in kept/. */
  readonly out: string;
  /** Where relative paths of models and data start. */
  readonly root: string;
  readonly observer: Observer;
}

/** Runs what is not kept, writes results and report; killed at any moment, the next call goes on. */
export async function runStudy({ definition, out, root, observer }: StudyRun): Promise<StudyResults> {
  const kept = join(out, "kept");
  await mkdir(kept, { recursive: true });
  await tidy(kept);
  const subjects: SubjectResults[] = [];
  const times: StepTime[] = [];
  for (const { subject, workshop, stages } of subjectsOf(definition, root, keeperIn(kept), observer)) {
    const opened = await subject();
    try {
      const built = stages(opened);
      for (const step of workshop.steps) await step.get();
      subjects.push(await analyse(opened, built, nextTurn));
      times.push(...workshop.times);
    } finally {
      opened.close();
    }
  }
  const results: StudyResults = {
    format: "attribution study results",
    version: 1,
    definition,
    versions: { attribution: libraryVersion(), libtorch: libtorchVersion(), node: process.versions.node },
    subjects,
    times: times.filter(({ isKept }) => !isKept).map(({ title, seconds }) => ({ title, seconds })),
  };
  await writeStudy(out, results);
  return results;
}

/** results.json, tables/*.csv and index.html. */
export async function writeStudy(out: string, results: StudyResults): Promise<void> {
  const folder = join(out, "tables");
  await mkdir(folder, { recursive: true });
  await writeBeside(join(out, "results.json"), [Buffer.from(`${JSON.stringify(results, null, 1)}\n`)]);
  const report = reportOf(results);
  const tables = tablesOf(report);
  for (const { file, table } of tables) await writeBeside(join(folder, file), [Buffer.from(csvOf(table))]);
  const stale = (await readdir(folder)).filter(
    (name) => name.endsWith(".csv") && !tables.some(({ file }) => file === name),
  );
  for (const name of stale) await rm(join(folder, name), { force: true });
  await writeReport(join(out, "index.html"), report);
}

interface Planned {
  readonly workshop: Workshop;
  subject(): Promise<Subject>;
  stages(subject: Subject): Stages;
}

/** Every model on every data set, one after the other. */
function* subjectsOf(
  definition: Definition,
  root: string,
  keeper: ReturnType<typeof keeperIn>,
  observer: Observer,
): Generator<Planned> {
  for (const data of definition.data) {
    for (const model of definition.models) {
      const workshop = workshopOf(keeper, observer);
      yield {
        workshop,
        subject: () =>
          observer.step(`Reading ${data.name}, opening ${model.name}`, async (call: CallOptions) =>
            openSubject(
              workshop,
              { definition, model, data: await studyData(data, { seed: definition.seed, root }, call), root },
              call,
            ),
          ),
        stages: (subject) => {
          const attributed = attributeStage(workshop, subject);
          const aligned = alignStage(attributed);
          const probes = probeStage(workshop, subject, attributed, aligned);
          return { attributed, aligned, probes, tests: testStage(workshop, subject, aligned) };
        },
      };
    }
  }
}

export interface PlannedStep {
  readonly subject: string;
  readonly stage: string;
  readonly title: string;
  readonly isKept: boolean;
  /** Of what is kept; of the rest an estimate of the time. */
  readonly bytes: number;
  readonly seconds: number;
}

export interface StudyPlan {
  readonly steps: readonly PlannedStep[];
  /** Of the steps that are not kept, from the speed of a short run of each model. */
  readonly seconds: number;
  /** While the largest model is tuned: weights, gradients, two moments and the copy that tuning starts from. */
  readonly peakMemoryBytes: number;
  readonly freeMemoryBytes: number;
}

/** What a run would compute and what is kept already; runs a few rows of each model to measure its speed. */
export async function planStudy({ definition, out, root, observer }: StudyRun): Promise<StudyPlan> {
  const keeper = keeperIn(join(out, "kept"));
  const steps: PlannedStep[] = [];
  let peakMemoryBytes = 0;
  for (const { subject, workshop, stages } of subjectsOf(definition, root, keeper, observer)) {
    const opened = await subject();
    try {
      stages(opened);
      const speed = await tokensPerSecond(opened, observer);
      peakMemoryBytes = Math.max(peakMemoryBytes, 5 * 4 * opened.base.parameters);
      for (const step of workshop.steps)
        steps.push(await planned(`${opened.model.name}, ${opened.data.name}`, step, keeper, speed));
    } finally {
      opened.close();
    }
  }
  const seconds = steps.reduce((sum, step) => sum + (step.isKept ? 0 : step.seconds), 0);
  return { steps, seconds, peakMemoryBytes, freeMemoryBytes: freemem() };
}

async function planned(
  subject: string,
  { key, stage, title, tokens }: Step<unknown>,
  keeper: ReturnType<typeof keeperIn>,
  speed: number,
): Promise<PlannedStep> {
  const isKept = await keeper.has(key);
  const bytes = isKept ? ((await stat(join(keeper.folderOf(key), "content")).catch(() => undefined))?.size ?? 0) : 0;
  return { subject, stage, title, isKept, bytes, seconds: isKept ? 0 : tokens / speed };
}

/** Tokens that go forward in a second, measured on a few rows. */
async function tokensPerSecond({ base, train }: Subject, { signal }: Observer): Promise<number> {
  const rows = selectInstances(
    train,
    Array.from({ length: Math.min(train.size, 32) }, (_, row) => row),
  );
  await evaluate(base, rows, { signal });
  const started = performance.now();
  await evaluate(base, rows, { signal });
  return rows.tokens.length / Math.max(1e-3, (performance.now() - started) / 1000);
}
