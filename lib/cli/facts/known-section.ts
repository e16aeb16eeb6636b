// Whether the units hold the fact or a pair of words, as a section of the report.
import type { ReportSection } from "../../../types/report";
import type { FactsFindings } from "./findings";

export function knownSection({ known }: FactsFindings): ReportSection[] {
  if (known.length === 0) return [];
  const percent = (share: number | undefined) => (share === undefined ? null : 100 * share);
  return [
    {
      title: "Do the units hold the fact or a pair of words?",
      explanation:
        "Each fact's units are suppressed in a phrasing kept out, and in its counterpart: the subject by its official name, or the fact from its answer to its subject. Units that hold the fact cost both about the same (symmetry near 1). A change of category is another most probable token; without one the answer is only less probable.",
      blocks: [
        {
          kind: "table",
          caption: "Change of the answer's log-probability, nats",
          columns: [
            { label: "Units" },
            { label: "Counterpart" },
            { label: "Facts", digits: 0 },
            { label: "Own question", digits: 3 },
            { label: "Counterpart", digits: 3 },
            { label: "Counterpart, random units", digits: 3 },
            { label: "Symmetry", digits: 2 },
          ],
          rows: known.flatMap(({ kind, symmetries }) =>
            symmetries.map(({ counterpart, facts, symmetry }) => [
              kind,
              counterpart,
              facts,
              symmetry.change,
              symmetry.counterpartChange,
              symmetry.randomCounterpartChange,
              symmetry.symmetry.mean,
            ]),
          ),
          notes: [
            "Means over facts with 95 % bootstrap intervals. Only facts one to one are asked the other way round.",
          ],
        },
        {
          kind: "table",
          caption: "What becomes of the answer",
          columns: [
            { label: "Units" },
            { label: "Facts", digits: 0 },
            { label: "Another answer", unit: "%", digits: 1 },
            { label: "Another answer, random units", unit: "%", digits: 1 },
            { label: "Only less probable", unit: "%", digits: 1 },
            { label: "Still right", unit: "%", digits: 1 },
          ],
          rows: known.map(({ kind, facts, change }) => [
            kind,
            facts,
            percent(change.changed.mean),
            percent(change.randomChanged.mean),
            percent(change.onlyProbability.mean),
            percent(change.stillAnswered?.mean),
          ]),
        },
      ],
    },
  ];
}
