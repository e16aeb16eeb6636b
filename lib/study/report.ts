// The report of a study, made of its results alone, in reading order: what was found, tables, curves, maps, then every query.
import type { Report, ReportSection } from "../../types/report";
import { duration } from "./duration";
import type { StudyResults, SubjectResults } from "./results";
import { findingsSection, leadOf } from "./sections/findings";
import { learningSection } from "./sections/learning";
import { curvesSection, headsSection, neuronTableSection, unitMapSection } from "./sections/neurons";
import { conflictsSection, outOfDistributionSection, sanitySection } from "./sections/probes";
import { queriesSection } from "./sections/queries";
import { datamodelingSection, tuningSection } from "./sections/tuning";
import { usesSection } from "./sections/uses";
import { diversitySection, overlapSection } from "./sections/views";

export function reportOf(results: StudyResults): Report {
  const { subjects, definition } = results;
  const sections: (ReportSection | undefined)[] = [
    findingsSection(results),
    learningSection(subjects),
    neuronTableSection(subjects),
    tuningSection(subjects),
    datamodelingSection(subjects),
    headsSection(subjects),
    overlapSection(subjects),
    diversitySection(subjects),
    usesSection(subjects),
    outOfDistributionSection(subjects),
    conflictsSection(subjects),
    sanitySection(subjects),
    curvesSection(subjects),
    unitMapSection(subjects),
    queriesSection(subjects),
    timesSection(results),
  ];
  return {
    title: definition.name,
    summary: leadOf(results),
    facts: factsOf(results),
    sections: sections.filter((section) => section !== undefined && section.blocks.length > 0) as ReportSection[],
  };
}

function factsOf({ subjects, versions, definition, times }: StudyResults): Report["facts"] {
  const seconds = times.reduce((sum, each) => sum + each.seconds, 0);
  return [
    ...(definition.description === undefined ? [] : [{ name: "What it is", value: definition.description }]),
    ...subjects.map(({ model, data, facts }) => ({
      name: `Model ${model} on ${data}`,
      value: facts.find(({ name }) => name === "Model")?.value ?? "",
    })),
    ...uniqueData(subjects).map(({ data, origin, facts }) => ({
      name: `Data ${data}`,
      value: `${origin}; ${facts.find(({ name }) => name === "Rows")?.value ?? ""}`,
    })),
    { name: "Seeds", value: `${definition.seed}; of the fine-tuning test ${definition.seeds.join(", ")}` },
    {
      name: "Versions",
      value: `attribution ${versions.attribution}, libtorch ${versions.libtorch}, Node ${versions.node}`,
    },
    ...(times.length === 0 ? [] : [{ name: "Time", value: duration(1000 * seconds) }]),
    ...subjects.flatMap(({ warnings }) => warnings.map((value) => ({ name: "Note", value }))),
  ];
}

function uniqueData(subjects: readonly SubjectResults[]): readonly SubjectResults[] {
  return subjects.filter(({ data }, at) => subjects.findIndex((other) => other.data === data) === at);
}

export const timesTitle = "Time";

function timesSection({ times }: StudyResults): ReportSection {
  return {
    title: timesTitle,
    explanation: "What each step took that this run computed; what was kept from runs before is not in it.",
    blocks:
      times.length === 0
        ? []
        : [
            {
              kind: "table",
              caption: "Steps",
              columns: [{ label: "Step" }, { label: "Time", unit: "s", digits: 1 }],
              rows: times.map(({ title, seconds }) => [title, seconds]),
            },
          ],
  };
}
