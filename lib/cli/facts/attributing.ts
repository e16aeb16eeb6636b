// Which units carry each fact: integrated gradients of neurons and heads over all layers, for every phrasing that refines;
// the units that the phrasings of a fact share (refined); and those of them that other facts do not rest on (specific).
import { integratedGradients } from "../../neuron/integrated-gradients";
import { refineNeurons } from "../../neuron/refine";
import { quantile } from "../../statistics";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NeuronAttribution } from "../../../types/results";
import type { Session } from "../session";
import { questionsAt, sameAnswer, type Answers, type KeptFacts } from "./asking";
import { rowsOf } from "./units";

/** The gap, as a share of the probability, above which paths are bisected. */
export const completeness = 1e-3;

export const unitKinds = ["refined", "specific"] as const;
export type UnitKind = (typeof unitKinds)[number];

export interface Attributed {
  /** The refining questions of all facts, one fact after the other. */
  readonly questions: Instances;
  /** [question] which fact it asks. */
  readonly factOf: readonly number[];
  /** [fact] rows of its questions. */
  readonly rows: readonly (readonly number[])[];
  /** Of both sites. */
  readonly scores: NeuronAttribution;
  /** [fact] its refined units and its specific ones, best first. */
  readonly units: Readonly<Record<UnitKind, readonly Int32Array[]>>;
  /** Completeness gaps of the neurons' layers as shares of the probability, in the first question. */
  readonly gap: { readonly layer: number; readonly worst: number; readonly median: number };
}

export interface Refining {
  /** A unit counts in a phrasing where its score is above this share of the phrasing's highest. */
  readonly fractionOfMaximum: number;
  /** It is kept where it counts in more than this share of the phrasings. */
  readonly share: number;
  /** Kept at most. */
  readonly most: number;
  /** As `fractionOfMaximum`, for the specific units: lower, as the highest scores are of units that all facts rest on. */
  readonly specificFraction: number;
  /** A unit is left out where it is refined so, with this fraction, from another fact. */
  readonly negativeFraction: number;
}

export async function attribute(
  session: Session,
  model: Model,
  answers: Answers,
  kept: KeptFacts,
  nodes: number,
  refining: Refining,
): Promise<Attributed> {
  const { facts, negatives } = kept;
  const factOf = facts.flatMap((fact, number) => fact.refining.map(() => number));
  const rows = facts.map((_, number) => factOf.flatMap((fact, row) => (fact === number ? [row] : [])));
  const own = facts.flatMap((fact) => fact.refining);
  const all = questionsAt(answers, [...own, ...negatives.map((fact) => fact.refining[0])]);
  const found = await session.step(`Integrated gradients of ${all.size} questions, neurons and heads`, (call) =>
    integratedGradients(model, all, { site: "both", of: "gold", nodes, completeness, ...call }),
  );
  const sample = questionsAt(answers, facts[0].refining.slice(0, 1));
  const gap = await session.step("Completeness of integrated gradients", (call) => gapOf(model, sample, nodes, call));
  const scores = rowsOf(
    found,
    own.map((_, row) => row),
  );
  return {
    questions: questionsAt(answers, own),
    factOf,
    rows,
    scores,
    units: await unitsOf(answers, kept, found, rows, refining),
    gap,
  };
}

async function unitsOf(
  answers: Answers,
  { facts, negatives }: KeptFacts,
  found: NeuronAttribution,
  rows: readonly (readonly number[])[],
  refining: Refining,
): Promise<Attributed["units"]> {
  const { fractionOfMaximum, share, most, specificFraction, negativeFraction } = refining;
  const attributions = rows.map((own) => rowsOf(found, own));
  const alone = negatives.map((_, at) => rowsOf(found, [rows.flat().length + at]));
  const first = (refined: readonly { readonly index: number }[]) =>
    Int32Array.from(refined.slice(0, most), ({ index }) => index);
  const [refined, specific]: [Int32Array[], Int32Array[]] = [[], []];
  for (const [at, fact] of facts.entries()) {
    refined.push(first(await refineNeurons(attributions[at], { select: { fractionOfMaximum }, share })));
    const others = [...facts, ...negatives].flatMap((other, i) =>
      sameAnswer(answers, fact, other) ? [] : [[...attributions, ...alone][i]],
    );
    const left =
      others.length === 0 ? {} : { negatives: others, negativeSelect: { fractionOfMaximum: negativeFraction } };
    const select = { fractionOfMaximum: specificFraction };
    specific.push(first(await refineNeurons(attributions[at], { select, share, ...left })));
  }
  return { refined, specific };
}

/** The worst and the median layer's gap as shares of the probability. */
async function gapOf(model: Model, questions: Instances, nodes: number, call: object): Promise<Attributed["gap"]> {
  const { completenessGap, targetValues } = await integratedGradients(model, questions, {
    site: "neurons",
    of: "gold",
    nodes,
    completeness,
    ...call,
  });
  const shares = completenessGap.map((gap) => Math.abs(gap) / targetValues[0]);
  const layer = shares.indexOf(Math.max(...shares));
  return { layer, worst: shares[layer], median: quantile(shares.sort(), 0.5) };
}
