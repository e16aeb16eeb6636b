// The whole report of a run: what was asked and what came out, the numbers that place it, and all sections.
import { libtorchVersion } from "../../../native";
import { libraryVersion } from "../../../provenance";
import { factTracing } from "../../../analysis/fact-tracing";
import { formatNumber } from "../../../report/format";
import type { Report, ReportSection } from "../../../../types/report";
import { majorityShare } from "../claims";
import { totalTime, type Session, type StepTime } from "../session";
import type { Findings } from "../stages/all";
import type { Subject } from "../subject";
import { agreementSection, diversitySection } from "./agreement";
import { conflictsSection } from "./conflicts";
import { faithfulnessSection, headsSection } from "./faithfulness";
import { layersSection } from "./layers";
import { learningSection } from "./learning";
import { queriesSection } from "./queries";
import { tracingSection } from "./tracing";
import { tuningSection } from "./tuning";

/** The sections with numbers, in reading order. */
export async function sectionsOf(findings: Findings, seed: number): Promise<ReportSection[]> {
  const sections = [
    learningSection(findings.subject, seed),
    await tracingSection(findings, seed),
    faithfulnessSection(findings),
    headsSection(findings),
    await layersSection(findings),
    await agreementSection(findings, seed),
    await diversitySection(findings),
    tuningSection(findings),
    conflictsSection(findings),
    queriesSection(findings),
  ];
  return sections.filter((section) => section !== undefined);
}

export async function reportOf(
  session: Session,
  findings: Findings,
  sections: readonly ReportSection[],
): Promise<Report> {
  return {
    title: titleOf(findings.subject),
    summary: await summaryOf(findings),
    facts: factsOf(session, findings.subject),
    sections: [...sections, timesSection(session.times)],
  };
}

function titleOf({ data }: Subject): string {
  return `What the answers are owed to: ${data.name}`;
}

async function summaryOf({ subject, instances, aligned, neuronTests }: Findings): Promise<string> {
  const { data, history, train, queries, heldOutEvaluation, truth } = subject;
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const learned = `${subject.name[0].toUpperCase()}${subject.name.slice(1)} judges ${percent(heldOutEvaluation.accuracy)} of the held-out claims rightly (majority baseline ${percent(majorityShare(data.heldOut))})${history === undefined ? "" : ` after ${train.size} training claims`}.`;
  const recall = async ({ attribution }: typeof instances.random): Promise<string> =>
    percent((await factTracing(attribution, truth?.sameClaim ?? [], { k: [10] })).recall[0].estimate.mean);
  const traced =
    truth === undefined
      ? ""
      : ` Asked for the training claims that say the same as each of ${queries.size} queries, the first 10 by gradient cosine hold ${await recall(instances.cosine)} of them, by influence functions ${await recall(instances.influence)}, by NA-Instances ${await recall(aligned.naInstances)}, by BM25 ${await recall(instances.bm25)} and by chance ${await recall(instances.random)}.`;
  const [{ comprehensiveness }] = neuronTests.neurons;
  const tested = ` Without its top neurons by integrated gradients a prediction's probability changes by ${hundredths(comprehensiveness.aopc)} on average over r, without as many random ones by ${hundredths(comprehensiveness.randomAopc)}.`;
  return learned + traced + tested;
}

function hundredths(value: number): string {
  return formatNumber(Math.round(100 * value) / 100, 2);
}

function factsOf(session: Session, { data, model, train, heldOut, queries, base }: Subject): Report["facts"] {
  const { family, layers, hidden, intermediate, heads } = model.architecture;
  return [
    {
      name: "Model",
      value: `${family}, ${layers} layers, ${hidden} features, ${layers} × ${intermediate} neurons, ${layers} × ${heads} heads, ${formatNumber(model.parameters)} parameters, ${model.dtype}`,
    },
    { name: "Model fingerprint", value: `${model.hash.slice(0, 12)} (base ${base.hash.slice(0, 12)})` },
    { name: "Data", value: data.origin },
    { name: "Claims", value: `${train.size} training, ${heldOut.size} held out, ${queries.size} of these the queries` },
    { name: "Seed", value: String(session.seed) },
    {
      name: "Versions",
      value: `attribution ${libraryVersion()}, libtorch ${libtorchVersion()}, Node ${process.versions.node}`,
    },
    { name: "Time", value: totalTime(session.times) },
  ];
}

export const timesTitle = "Time";

function timesSection(times: readonly StepTime[]): ReportSection {
  return {
    title: timesTitle,
    explanation: "What each step of this run took.",
    blocks: [
      {
        kind: "table",
        caption: "Steps",
        columns: [{ label: "Step" }, { label: "Time", unit: "s", digits: 1 }],
        rows: times.map(({ title, seconds }) => [title, seconds]),
      },
    ],
  };
}
