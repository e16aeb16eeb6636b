// Which units each fact is owed to: integrated gradients of neurons and heads over all layers, for every phrasing that refines;
// and the units that the phrasings of a fact share.
import { integratedGradients } from "../../neuron/integrated-gradients";
import { refineNeurons } from "../../neuron/refine";
import { quantile } from "../../statistics";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NeuronAttribution } from "../../../types/results";
import type { Session } from "../demo/session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import { rowsOf } from "./units";

/** The gap, as a share of the probability, above which paths are bisected. */
export const completeness = 1e-3;

export interface Attributed {
  /** The refining questions of all facts, one fact after the other. */
  readonly questions: Instances;
  /** [question] which fact it asks. */
  readonly factOf: readonly number[];
  /** [fact] rows of its questions. */
  readonly rows: readonly (readonly number[])[];
  /** Of both sites. */
  readonly scores: NeuronAttribution;
  /** [fact] its refined units, best first. */
  readonly refined: readonly Int32Array[];
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
}

export async function attribute(session: Session, model: Model, answers: Answers, facts: readonly KnownFact[], nodes: number, refining: Refining): Promise<Attributed> {
  const questions = questionsAt(answers, facts.flatMap((fact) => fact.refining));
  const factOf = facts.flatMap((fact, number) => fact.refining.map(() => number));
  const rows = facts.map((_, number) => factOf.flatMap((fact, row) => (fact === number ? [row] : [])));
  const scores = await session.step(`Integrated gradients of ${questions.size} questions, neurons and heads`, (call) => integratedGradients(model, questions, { site: "both", of: "gold", nodes, completeness, ...call }));
  const { fractionOfMaximum, share, most } = refining;
  const refined = rows.map((own) => Int32Array.from(refineNeurons(rowsOf(scores, own), { select: { fractionOfMaximum }, share }).slice(0, most), ({ index }) => index));
  const sample = questionsAt(answers, facts[0].refining.slice(0, 1));
  const gap = await session.step("Completeness of integrated gradients", (call) => gapOf(model, sample, nodes, call));
  return { questions, factOf, rows, scores, refined, gap };
}

/** The worst and the median layer's gap as shares of the probability. */
async function gapOf(model: Model, questions: Instances, nodes: number, call: object): Promise<Attributed["gap"]> {
  const { completenessGap, targetValues } = await integratedGradients(model, questions, { site: "neurons", of: "gold", nodes, completeness, ...call });
  const shares = completenessGap.map((gap) => Math.abs(gap) / targetValues[0]);
  const layer = shares.indexOf(Math.max(...shares));
  return { layer, worst: shares[layer], median: quantile(shares.sort(), 0.5) };
}
