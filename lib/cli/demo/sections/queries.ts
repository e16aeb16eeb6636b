// A few queries in full text, with the training claims and the units that the methods rank first.
import { top } from "../../../results/top";
import type { InstanceCard, ReportSection } from "../../../../types/report";
import type { NeuronAttribution } from "../../../../types/results";
import type { Findings } from "../stages/all";
import type { InstanceMethod } from "../stages/method";

const claimsShown = 5;
const unitsShown = 5;

export function queriesSection(findings: Findings): ReportSection {
  const { subject } = findings;
  const count = Math.min(subject.recipe.cards, subject.queries.size);
  return {
    title: "Queries in full",
    explanation: `The first ${count} queries with the training claims and the units that each method ranks first${subject.truth === undefined ? "." : "; claims about the query's own fact are marked."}`,
    blocks: [
      {
        kind: "instances",
        truthLabel: "about the same fact",
        cards: Array.from({ length: count }, (_, query) => cardOf(findings, query)),
      },
    ],
  };
}

function cardOf(findings: Findings, query: number): InstanceCard {
  const {
    subject: { queryClaims, queryEvaluation, queries, data },
    instances,
    neurons,
    aligned,
  } = findings;
  const { id, label } = queryClaims[query];
  const predicted = queryEvaluation.predictions[query];
  return {
    id,
    text: queries.texts[query],
    label: data.labels[label],
    prediction: { label: data.labels[predicted], probability: queryEvaluation.probabilities[query] },
    instances: [
      instances.influence,
      ...instances.otherInfluences,
      instances.cosine,
      aligned.naInstances,
      instances.bm25,
      instances.random,
    ].map((method) => claimList(findings, method, query)),
    neurons: [
      unitList("Neurons by integrated gradients (NA)", neurons.integrated, query, "probability"),
      unitList("IA-Neurons", aligned.iaNeurons, query, "probability, summed"),
      unitList("Heads by integrated gradients", neurons.heads, query, "probability"),
    ],
  };
}

function claimList(
  { subject: { data, truth } }: Findings,
  { name, attribution }: InstanceMethod,
  query: number,
): InstanceCard["instances"][number] {
  const entries = top(attribution, query, claimsShown).map(({ index, score }) => {
    const { id, text, label } = data.train[index];
    return { id, text, score, label: data.labels[label], isTrue: truth?.sameFact[query].includes(index) ?? false };
  });
  return { method: name, entries };
}

function unitList(
  method: string,
  attribution: NeuronAttribution,
  query: number,
  unit: string,
): InstanceCard["neurons"][number] {
  const entries = top(attribution, query, unitsShown)
    .filter(({ score }) => score !== 0)
    .map(({ layer, unit: at, score }) => ({ layer, unit: at, score }));
  return { method, unit, entries };
}
