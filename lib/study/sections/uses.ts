// What the chosen training rows are good for: tracing facts, covering the query's relation, finding wrong labels.
import type { Cell, ReportBlock, ReportSection } from "../../../types/report";
import type { SubjectResults } from "../results";
import { nameOf } from "./names";

export function usesSection(subjects: readonly SubjectResults[]): ReportSection {
  const tracing = subjects.flatMap((subject) =>
    subject.tracing.map(({ method, sameClaim, sameFact }): Cell[] => [
      nameOf(subject, subjects),
      method,
      sameClaim.recall,
      sameClaim.reciprocalRank,
      sameFact.recall,
      sameFact.reciprocalRank,
    ]),
  );
  const coverage = subjects.flatMap((subject) =>
    subject.coverage.map(({ method, share, chance }): Cell[] => [nameOf(subject, subjects), method, share, chance]),
  );
  const errors = subjects.flatMap((subject) =>
    (subject.errorFinding?.rows ?? []).map(({ method, auc, found, inspected }): Cell[] => [
      nameOf(subject, subjects),
      method,
      auc,
      found,
      inspected,
    ]),
  );
  const table = (
    caption: string,
    columns: readonly string[],
    rows: readonly (readonly Cell[])[],
    note: string,
  ): ReportBlock[] =>
    rows.length === 0
      ? []
      : [
          {
            kind: "table",
            caption,
            columns: columns.map((label, at) =>
              at < 2 ? { label } : { label, digits: label === "Rows inspected" ? 0 : 3 },
            ),
            rows,
            notes: [note],
          },
        ];
  return {
    title: "What are the chosen rows good for?",
    explanation:
      "Where tuning on influential rows does not pay, they may still state the query's fact, share its relation, or point to wrong labels.",
    blocks: [
      ...table(
        "Fact tracing: how high the true training rows rank",
        ["Model", "Method", "Same claim: recall@10", "Same claim: MRR", "Same fact: recall@10", "Same fact: MRR"],
        tracing,
        "Same claim: the query's fact with its label. Same fact: with any label; gradient methods rank the other label last. MRR: mean of 1 / rank of the first. Brackets: 95 % bootstrap interval over queries.",
      ),
      ...table(
        "Coverage: share of the top 10 rows that are of the query's relation",
        ["Model", "Method", "Share", "By chance"],
        coverage,
        "Brackets: 95 % bootstrap interval over queries.",
      ),
      ...table(
        "Finding flipped labels by self-influence",
        ["Model", "Method", "Area under ROC", "Found", "Rows inspected"],
        errors,
        "A share of the labels was flipped and a model tuned on them. Area 0.5 is chance. Found: share of the flipped rows among those inspected first. Brackets: 95 % bootstrap interval over rows.",
      ),
    ],
  };
}
