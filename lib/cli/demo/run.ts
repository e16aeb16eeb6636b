// A run over one subject: all stages, tables on the terminal, the report as a file.
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { writeReport } from "../../report/render";
import type { Report } from "../../../types/report";
import { reportOf, sectionsOf, timesTitle } from "./sections/report";
import { totalTime, type Session } from "./session";
import { runStages } from "./stages/all";
import type { Subject } from "./subject";

/** Runs everything and writes the report; closes the subject's models. `file` ends in .html or names a folder. */
export async function runDemo(session: Session, subject: Subject, out: string): Promise<Report> {
  const file = resolve(reportFile(out));
  try {
    const findings = await runStages(session, subject);
    const sections = await sectionsOf(findings, session.seed);
    const report = await reportOf(session, findings, sections);
    sections.forEach(session.show);
    await mkdir(dirname(file), { recursive: true });
    await writeReport(file, report);
    session.say(`${report.summary}\n\nTime: ${totalTime(session.times)}\nReport: ${file}`);
    return report;
  } finally {
    subject.model.close();
    subject.base.close();
  }
}

export function reportFile(out: string): string {
  return /\.html?$/i.test(out) ? out : `${out.replace(/\/+$/, "")}/index.html`;
}

/** The report without what differs from run to run: times. */
export function reproducible({ facts, ...report }: Report): Report {
  return {
    ...report,
    facts: facts.filter(({ name }) => name !== "Time"),
    sections: report.sections.filter(({ title }) => title !== timesTitle),
  };
}
