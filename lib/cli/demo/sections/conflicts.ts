// The queries on which the two views disagree most.
import type { Cell, ReportSection } from "../../../../types/report";
import type { Findings } from "../stages/all";
import { rounded } from "./faithfulness";

export function conflictsSection({ conflicts, subject: { queries }, instances }: Findings): ReportSection {
  const verdict = ({ withoutNa, withoutIa }: Findings["conflicts"][number]): string =>
    Math.abs(withoutNa - withoutIa) < 0.01
      ? "neither"
      : withoutNa < withoutIa
        ? "its own neurons (NA)"
        : "neurons of the claims (IA)";
  return {
    title: "Where the two views part",
    explanation: `The queries whose rankings of the training claims by ${instances.influence.name} and by NA-Instances are least alike. An ablation judges: the prediction rests more on the neurons whose removal costs it more probability.`,
    blocks: [
      {
        kind: "table",
        caption: "Conflicts, and what the ablation says",
        columns: [
          { label: "Query" },
          { label: "Rank correlation", digits: 2 },
          { label: "Shared top 10", digits: 2 },
          { label: "Neurons removed" },
          { label: "Change without NA's", digits: 3 },
          { label: "without IA-Neurons", digits: 3 },
          { label: "without random ones", digits: 3 },
          { label: "Rests on" },
        ],
        rows: conflicts.map((each): Cell[] => [
          queries.texts[each.query],
          each.correlation,
          each.overlap,
          each.r,
          rounded(each.withoutNa),
          rounded(each.withoutIa),
          rounded(each.withoutRandom),
          verdict(each),
        ]),
        notes: ["Change of the predicted class's probability. “Neither”: the two changes differ by less than 0.01."],
      },
    ],
  };
}
