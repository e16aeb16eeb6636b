// Does variety go with accuracy? Shares that were tuned on, by how varied they are.
import type { InstanceAttribution } from "../../../types/results";
import { globalRanking } from "../../alignment/global-ranking";
import { diversity, diversityCorrelation, type DiversityOptions } from "../../analysis/diversity";
import type { SubjectResults } from "../results";
import type { Subject } from "../subject";
import type { Result } from "./attribute";
import type { TuningRun } from "./test";

/** Each share that was tuned on: how varied it is, and the accuracy (mean over seeds) after tuning on it. */
export function correlationOf(
  subject: Subject,
  methods: readonly Result<InstanceAttribution>[],
  runs: readonly TuningRun[],
  described: DiversityOptions,
): SubjectResults["diversityCorrelation"] {
  const points = methods.flatMap(({ name, attribution }) => {
    const own = runs.filter(({ method }) => method === name);
    if (own.length === 0) return [];
    const order = globalRanking(attribution).map(({ index }) => index);
    const shares = [...new Set(own.map(({ subset, fraction }) => `${subset} ${fraction}`))];
    return shares.map((share) => {
      const same = own.filter(({ subset, fraction }) => `${subset} ${fraction}` === share);
      const count = same[0].instances;
      const chosen = same[0].subset === "most" ? order.slice(0, count) : order.slice(-count);
      return {
        accuracy: same.reduce((sum, { accuracy }) => sum + accuracy, 0) / same.length,
        perRow: diversity(subject.train, chosen, described),
        fraction: same[0].fraction,
      };
    });
  });
  const measures = {
    "distinct tokens": ({ distinctTokens }: ReturnType<typeof diversity>) => distinctTokens,
    "mean loss": ({ meanLoss }: ReturnType<typeof diversity>) => meanLoss,
    "mean cosine of states (low is varied)": ({ meanPairwiseCosine }: ReturnType<typeof diversity>) =>
      meanPairwiseCosine,
  };
  // Larger shares are more varied and do better; so shares are compared within one size, and sizes are averaged.
  const sizes = [...new Set(points.map(({ fraction }) => fraction))];
  return Object.entries(measures).map(([measure, of]) => {
    const within = sizes
      .map((size) => points.filter(({ fraction }) => fraction === size))
      .filter((group) => group.length >= 3);
    const each = within
      .map(
        (group) =>
          diversityCorrelation(
            group.map(({ perRow }) => of(perRow)),
            group.map(({ accuracy }) => accuracy),
          ).spearman,
      )
      .filter((value) => !Number.isNaN(value));
    return {
      measure,
      pairs: within.reduce((sum, group) => sum + group.length, 0),
      spearman: each.length === 0 ? null : each.reduce((sum, value) => sum + value, 0) / each.length,
    };
  });
}
