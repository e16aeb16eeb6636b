// Does variety go with accuracy? Shares that were tuned on, by how varied they are.
import type { Diversity } from "../../../types/analysis";
import type { InstanceAttribution } from "../../../types/results";
import { globalRanking } from "../../alignment/global-ranking";
import { diversity, diversityCorrelation, type DiversityOptions } from "../../analysis/diversity";
import { inTurn } from "../in-turn";
import type { SubjectResults } from "../results";
import type { Subject } from "../subject";
import type { Result } from "./attribute";
import type { TuningRun } from "./test";

interface Share {
  readonly fraction: number;
  /** Mean over seeds after tuning on the share. */
  readonly accuracy: number;
  readonly variety: Diversity;
}

const measures: Readonly<Record<string, (variety: Diversity) => number>> = {
  "distinct tokens": ({ distinctTokens }) => distinctTokens,
  "mean loss": ({ meanLoss }) => meanLoss,
  "mean cosine of states (low is varied)": ({ meanPairwiseCosine }) => meanPairwiseCosine,
};

/** Larger shares are more varied and do better; so shares are compared within one size, and sizes are averaged. */
export async function correlationOf(
  subject: Subject,
  methods: readonly Result<InstanceAttribution>[],
  runs: readonly TuningRun[],
  described: DiversityOptions,
): Promise<SubjectResults["diversityCorrelation"]> {
  const shares = (await inTurn(methods, (each) => sharesOf(subject, each, runs, described))).flat();
  const sizes = [...new Set(shares.map(({ fraction }) => fraction))];
  const groups = sizes
    .map((size) => shares.filter(({ fraction }) => fraction === size))
    .filter((group) => group.length >= 3);
  return Object.entries(measures).map(([measure, of]) => {
    const each = groups
      .map((group) =>
        diversityCorrelation(
          group.map(({ variety }) => of(variety)),
          group.map(({ accuracy }) => accuracy),
        ),
      )
      .map(({ spearman }) => spearman)
      .filter((value) => !Number.isNaN(value));
    return {
      measure,
      pairs: groups.reduce((sum, group) => sum + group.length, 0),
      spearman: each.length === 0 ? null : each.reduce((sum, value) => sum + value, 0) / each.length,
    };
  });
}

/** The shares by one method that a model was tuned on. */
async function sharesOf(
  { train }: Subject,
  { name, attribution }: Result<InstanceAttribution>,
  runs: readonly TuningRun[],
  described: DiversityOptions,
): Promise<Share[]> {
  const own = runs.filter(({ method }) => method === name);
  if (own.length === 0) return [];
  const order = (await globalRanking(attribution)).map(({ index }) => index);
  const keys = [...new Set(own.map(({ subset, fraction }) => `${subset} ${fraction}`))];
  return inTurn(keys, async (key) => {
    const same = own.filter(({ subset, fraction }) => `${subset} ${fraction}` === key);
    const [{ subset, fraction, instances: count }] = same;
    const chosen = subset === "most" ? order.slice(0, count) : order.slice(-count);
    return {
      fraction,
      accuracy: same.reduce((sum, { accuracy }) => sum + accuracy, 0) / same.length,
      variety: await diversity(train, chosen, described),
    };
  });
}
