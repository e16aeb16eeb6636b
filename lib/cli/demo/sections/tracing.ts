// Fact tracing: the training claims that state each fact are known, so every ranking of them can be judged.
import { factTracing } from "../../../analysis/fact-tracing";
import type { Estimate } from "../../../../types/results";
import type { Cell, ReportSection } from "../../../../types/report";
import { rankingMethods, type Findings } from "../stages/all";

const k = 10;

/** Undefined where no truth is known. */
export async function tracingSection(findings: Findings, seed: number): Promise<ReportSection | undefined> {
  const { truth, train } = findings.subject;
  if (truth === undefined) return undefined;
  const rows: Cell[][] = [];
  for (const { name, attribution } of rankingMethods(findings)) {
    const measured: Estimate[] = [];
    for (const lists of [truth.sameClaim, truth.sameFact]) {
      const { recall, meanReciprocalRank } = await factTracing(attribution, lists, { k: [k], seed });
      measured.push(recall[0].estimate, meanReciprocalRank);
    }
    rows.push([name, ...measured]);
  }
  const mean = (lists: readonly (readonly number[])[]) =>
    (lists.reduce((sum, list) => sum + list.length, 0) / lists.length).toFixed(1);
  return {
    title: "Which training claims: fact tracing",
    explanation: `For each query the training claims about its fact are known, so each method can be judged by how high it ranks them among all ${train.size}: recall@${k} is the share of them among the first ${k}, MRR the mean of 1 / rank of the first.`,
    blocks: [
      {
        kind: "table",
        caption: `Recall@${k} and mean reciprocal rank of the true training claims`,
        columns: [
          { label: "Method" },
          { label: `Same claim: recall@${k}`, digits: 3 },
          { label: "Same claim: MRR", digits: 3 },
          { label: `Same fact: recall@${k}`, digits: 3 },
          { label: "Same fact: MRR", digits: 3 },
        ],
        rows,
        notes: [
          `Same claim: of the query's fact and with its label, the query in other words (${mean(truth.sameClaim)} per query). Same fact: those with another label as well (${mean(truth.sameFact)} per query); gradient methods rank these last, since training on them raises the query's loss.`,
          "Inner products (dot product, influence) also grow with a training claim's own gradient: a few claims with a high loss can rank first for every query. The cosine takes that out.",
          "Brackets: 95 % bootstrap interval over queries. BM25 sees the words only and random nothing; both stand beside every method.",
        ],
      },
    ],
  };
}
