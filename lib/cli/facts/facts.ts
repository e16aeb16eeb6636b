// `attribution demo facts`: a real language model, the facts it knows, and the units that hold them.
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { loadModel } from "../../model/load-model";
import { writeReport } from "../../report/render";
import type { Report } from "../../../types/report";
import { reportFile, totalTime, type Session } from "../session";
import { fetchSmolLM2 } from "../../study/smollm2";
import { ask, keep } from "./asking";
import { attribute } from "./attributing";
import { changeFacts } from "./changing";
import { drawCurves } from "./curves";
import type { FactsFindings, FactsSize } from "./findings";
import { testKnowing } from "./knowing";
import { countryQuiz } from "./questions";
import { reportOf, sectionsOf } from "./report";
import { sayWithout } from "./saying";
import { sharedUnits } from "./sharing";
import { readUnits } from "./vocabulary";

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

export interface FactsOptions {
  readonly facts: number;
  readonly seed: number;
  readonly out: string;
}

export async function runFacts({ facts, out }: FactsOptions, session: Session, signal: AbortSignal): Promise<void> {
  const path = await fetchSmolLM2({ signal });
  using model = await session.step("Loading SmolLM2-135M-Instruct", (call) => loadModel(path, call));
  await factsDemo(
    session,
    {
      model,
      modelName: "SmolLM2-135M-Instruct (Q4_1 GGUF)",
      quiz: await countryQuiz(countries),
      size: factsSize(facts),
    },
    out,
  );
}

/** Runs everything on a model, shows the tables and writes the report. */
export async function factsDemo(
  session: Session,
  given: Pick<FactsFindings, "model" | "modelName" | "quiz" | "size">,
  out: string,
): Promise<Report> {
  const findings = await findAll(session, given);
  const sections = await sectionsOf(findings);
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
  const known = await testKnowing(session, model, quiz, answers, facts, attributed, size.controls);
  const said = await sayWithout(session, model, answers, facts, attributed, size.tokens);
  const curves = await drawCurves(session, model, answers, facts, attributed, size.curves);
  const vocabulary = await readUnits(session, model, answers, facts, attributed, size.controls);
  const shared = sharedUnits(model.architecture, facts, attributed, size.top, session.seed);
  return { ...given, answers, kept, attributed, changed, known, said, curves, shared, vocabulary };
}
