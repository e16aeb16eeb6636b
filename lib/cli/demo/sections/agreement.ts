// How far the two views agree: overlap of what they choose, how many different entries they choose, how varied these are.
import { diversity } from "../../../analysis/diversity";
import { distinctCounts, overlap } from "../../../analysis/overlap";
import { top } from "../../../results/top";
import type { NeuronAttribution } from "../../../../types/results";
import type { Cell, ReportSection, ReportTable } from "../../../../types/report";
import { rankingMethods, type Findings } from "../stages/all";
import type { InstanceMethod } from "../stages/method";

const k = 10;

export async function agreementSection(findings: Findings, seed: number): Promise<ReportSection> {
  return {
    title: "Do instances and neurons agree?",
    explanation: `The alignments turn either kind of attribution into the other, so both can be compared: the share of a query's top ${k} that two methods have in common, and how many different entries they choose over all queries.`,
    blocks: [await overlapTable(findings, seed), await distinctTable(findings)],
  };
}

async function overlapTable({ instances, neurons, aligned }: Findings, seed: number): Promise<ReportTable> {
  const ofInstances = async ([first, second]: readonly [InstanceMethod, InstanceMethod]): Promise<Cell[]> => {
    const { mean, chance } = await overlap(first.attribution, second.attribution, { k, seed });
    return ["training claims", first.name, second.name, mean, chance];
  };
  const ofNeurons = async (name: string, attribution: NeuronAttribution): Promise<Cell[]> => {
    const { mean, chance } = await overlap(neurons.integrated, attribution, { k, seed });
    return ["neurons", "Integrated gradients (NA)", name, mean, chance];
  };
  const pairs: readonly (readonly [InstanceMethod, InstanceMethod])[] = [
    [instances.influence, aligned.naInstances],
    [instances.cosine, aligned.naInstances],
    [instances.influence, instances.cosine],
    [aligned.naInstances, instances.bm25],
    [aligned.naInstances, instances.random],
  ];
  return {
    kind: "table",
    caption: `Overlap of the top ${k}`,
    columns: [
      { label: "Of" },
      { label: "One method" },
      { label: "Another" },
      { label: "Overlap", digits: 3 },
      { label: "By chance", digits: 3 },
    ],
    rows: [
      ...(await Promise.all(pairs.map(ofInstances))),
      await ofNeurons("IA-Neurons", aligned.iaNeurons),
      await ofNeurons("Gradient × activation", neurons.gradientTimesActivation),
      await ofNeurons("Activation", neurons.activation),
    ],
    notes: ["Mean share over queries with a 95 % bootstrap interval. By chance: two independent random choices."],
  };
}

async function distinctTable({ instances, neurons, aligned }: Findings): Promise<ReportTable> {
  const rankings = [
    ["training claims", instances.influence.name, instances.influence.attribution],
    ["training claims", instances.cosine.name, instances.cosine.attribution],
    ["training claims", "NA-Instances", aligned.naInstances.attribution],
    ["training claims", "Random", instances.random.attribution],
    ["neurons", "Integrated gradients (NA)", neurons.integrated],
    ["neurons", "IA-Neurons", aligned.iaNeurons],
    ["neurons", "Activation", neurons.activation],
  ] as const;
  const rows: Cell[][] = [];
  for (const [of, name, attribution] of rankings) {
    const { chosen, distinct, share } = await distinctCounts(attribution, { k });
    rows.push([of, name, chosen, distinct, share]);
  }
  const byChance = expectedDistinct(neurons.integrated);
  return {
    kind: "table",
    caption: `Different entries among the top ${k} of all queries`,
    columns: [
      { label: "Of" },
      { label: "Method" },
      { label: "Chosen" },
      { label: "Different" },
      { label: "Share", digits: 3 },
    ],
    rows: [
      ...rows,
      [
        "neurons",
        "Random, expected",
        byChance.chosen,
        Math.round(byChance.distinct),
        byChance.distinct / byChance.chosen,
      ],
    ],
    notes: ["A share near 1: every query has its own; near 0: all queries share the same."],
  };
}

/** n (1 − (1 − k / n)^rows) different ones among independent random choices of k of n units. */
function expectedDistinct({ instances, layers, units }: NeuronAttribution): { chosen: number; distinct: number } {
  const all = layers * units;
  const each = Math.min(k, all);
  return { chosen: instances * each, distinct: all * (1 - (1 - each / all) ** instances) };
}

export async function diversitySection(findings: Findings): Promise<ReportSection> {
  const {
    subject: { train, queries },
    described,
  } = findings;
  const rows: Cell[][] = [];
  for (const { name, attribution } of rankingMethods(findings)) {
    const chosen = Array.from({ length: queries.size }, (_, query) =>
      top(attribution, query, k).map(({ index }) => index),
    ).flat();
    const { instances, distinctTokens, meanLength, meanLoss, meanPairwiseCosine } = await diversity(
      train,
      chosen,
      described,
    );
    rows.push([name, instances, distinctTokens, meanLength, meanLoss, meanPairwiseCosine]);
  }
  return {
    title: "How varied are the chosen training claims?",
    explanation:
      "The paper finds that neurons lead to more varied training instances than gradients do; many different claims, many words and a low mean cosine of their hidden states are varied.",
    blocks: [
      {
        kind: "table",
        caption: `The top ${k} training claims of all queries together`,
        columns: [
          { label: "Method" },
          { label: "Different claims" },
          { label: "Different tokens" },
          { label: "Mean length", unit: "tokens" },
          { label: "Mean loss", unit: "nats" },
          { label: "Mean cosine of states", digits: 3 },
        ],
        rows,
      },
    ],
  };
}
