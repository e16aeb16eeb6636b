// `npm run demo -- facts`: a real language model, the facts it knows, and the units that hold them.
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { loadModel } from "../../model/load-model";
import { writeReport } from "../../report/render";
import type { Model } from "../../../types/model";
import type { Report } from "../../../types/report";
import { reportFile } from "../demo/run";
import { startSession, totalTime, type Session } from "../demo/session";
import { progressSteps } from "../progress";
import { fetchSmolLM2 } from "../smollm2";
import { help, readFactsArguments } from "./arguments";
import { ask, keep, type Answers, type KeptFacts, type Keeping } from "./asking";
import { attribute, type Attributed, type Refining } from "./attributing";
import { changeFacts, type Changed } from "./changing";
import { drawCurves, type Curves, type CurveSizes } from "./curves";
import { countryQuiz, type Quiz } from "./questions";
import { reportOf, sectionsOf } from "./report";
import { sayWithout, type Said } from "./saying";
import { sharedUnits, type Shared } from "./sharing";
import { readUnits, type Vocabulary } from "./vocabulary";

/** How large the demo is. */
export interface FactsSize {
  readonly keeping: Keeping;
  /** Nodes of the path integral. */
  readonly nodes: number;
  readonly refining: Refining;
  /** Top units whose sharing and layers are counted. */
  readonly top: number;
  /** Tokens of each continuation. */
  readonly tokens: number;
  /** Random sets beside each. */
  readonly controls: number;
  readonly curves: CurveSizes;
}

export interface FactsFindings {
  readonly model: Model;
  readonly modelName: string;
  readonly quiz: Quiz;
  readonly size: FactsSize;
  readonly answers: Answers;
  readonly kept: KeptFacts;
  readonly attributed: Attributed;
  readonly changed: readonly Changed[];
  readonly said: readonly Said[];
  readonly curves: Curves;
  readonly shared: readonly Shared[];
  readonly vocabulary: Vocabulary;
}

const countries = 80;

export function factsSize(facts: number): FactsSize {
  return {
    keeping: { facts, negatives: 8, enough: 4, keptOut: 2 },
    nodes: 6,
    refining: { fractionOfMaximum: 0.1, share: 0.5, most: 10, specificFraction: 0.02, negativeFraction: 0.05 },
    top: 20,
    tokens: 8,
    controls: 5,
    curves: { neurons: [1, 2, 5, 10, 100, 1000, 10_000], heads: [1, 2, 5, 10, 20, 100], controls: 3 },
  };
}

export async function runFacts(args: readonly string[], signal?: AbortSignal): Promise<void> {
  const chosen = readFactsArguments(args);
  if (chosen === "help") return void process.stdout.write(help);
  const session = startSession({
    seed: chosen.seed,
    write: (text) => process.stdout.write(text),
    startStep: progressSteps(),
    ...(signal === undefined ? {} : { signal }),
  });
  const path = await fetchSmolLM2(signal === undefined ? {} : { signal });
  using model = await session.step("Loading SmolLM2-135M-Instruct", (call) => loadModel(path, call));
  await factsDemo(
    session,
    {
      model,
      modelName: "SmolLM2-135M-Instruct (Q4_1 GGUF)",
      quiz: await countryQuiz(countries),
      size: factsSize(chosen.facts),
    },
    chosen.out,
  );
}

/** Runs everything on a model, shows the tables and writes the report. */
export async function factsDemo(
  session: Session,
  given: Pick<FactsFindings, "model" | "modelName" | "quiz" | "size">,
  out: string,
): Promise<Report> {
  const findings = await findAll(session, given);
  const sections = sectionsOf(findings);
  const report = reportOf(session, findings, sections);
  sections.forEach(session.show);
  const file = resolve(reportFile(out));
  await mkdir(dirname(file), { recursive: true });
  await writeReport(file, report);
  session.say(`${report.summary}\n\nTime: ${totalTime(session.times)}\nReport: ${file}`);
  return report;
}

async function findAll(
  session: Session,
  given: Pick<FactsFindings, "model" | "modelName" | "quiz" | "size">,
): Promise<FactsFindings> {
  const { model, quiz, size } = given;
  const answers = await ask(session, model, quiz);
  const kept = keep(quiz, answers, size.keeping, session.seed);
  const { facts } = kept;
  const attributed = await attribute(session, model, answers, kept, size.nodes, size.refining);
  const changed = await changeFacts(session, model, answers, kept, attributed, size.controls);
  const said = await sayWithout(session, model, answers, facts, attributed, size.tokens);
  const curves = await drawCurves(session, model, answers, facts, attributed, size.curves);
  const vocabulary = await readUnits(session, model, answers, facts, attributed, size.controls);
  const shared = sharedUnits(model.architecture, facts, attributed, size.top, session.seed);
  return { ...given, answers, kept, attributed, changed, said, curves, shared, vocabulary };
}
