// Suppressing and doubling the refined units of each fact, beside as many random units of the same layers: on the fact itself, on
// its phrasings kept out, and on other facts of the same and of another relation.
import { changeUnits } from "../../neuron/changed-units";
import { createRandom, shuffle } from "../../random";
import { bootstrapMean } from "../../statistics";
import type { CallOptions } from "../../../types/common";
import type { Model } from "../../../types/model";
import type { NativeUnitSetResult } from "../../../types/native";
import type { Estimate } from "../../../types/results";
import type { Session } from "../demo/session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import type { Attributed } from "./attributing";
import { randomLike } from "./units";

export const groups = ["the fact itself", "its phrasings kept out", "other facts, same relation", "other facts, other relation"] as const;
export const changes = ["suppressed", "doubled"] as const;

export interface Changed {
  readonly change: (typeof changes)[number];
  readonly group: (typeof groups)[number];
  readonly questions: number;
  /** Mean probability of the answer before. */
  readonly before: number;
  /** Change of that probability; means over facts. */
  readonly refined: Estimate;
  readonly random: Estimate;
  /** Share of questions no longer (or still) answered with the same token. */
  readonly refinedFlips: number;
  readonly randomFlips: number;
}

interface Case { readonly fact: number; readonly group: number; readonly question: number }

export async function changeFacts(session: Session, model: Model, answers: Answers, facts: readonly KnownFact[], attributed: Attributed, controls: number): Promise<Changed[]> {
  const cases = casesOf(facts, session.seed).filter(({ fact }) => attributed.refined[fact].length > 0);
  if (cases.length === 0) return [];
  const run = (change: "suppress" | "scale", call: CallOptions) => changeCases(model, answers, cases, attributed, { change, controls, seed: session.seed }, call);
  const results = await session.step(`Suppressing and doubling refined and random units in ${cases.length} questions`, async (call) => [await run("suppress", call), await run("scale", call)]);
  return changes.flatMap((change, at) => groups.flatMap((_, group) => summary(change, group, cases, results[at], controls, session.seed)));
}

/** Of each fact its refining and kept-out questions, and one question of two other facts of each kind. */
function casesOf(facts: readonly KnownFact[], seed: number): Case[] {
  return facts.flatMap((own, fact) => {
    const others = shuffle(facts.filter((other) => other.id !== own.id), createRandom(seed, 21, fact));
    const firsts = (chosen: readonly KnownFact[]): number[] => chosen.slice(0, 2).map(({ refining }) => refining[0]);
    const perGroup = [own.refining, own.keptOut, firsts(others.filter(({ relation }) => relation === own.relation)), firsts(others.filter(({ relation }) => relation !== own.relation))];
    return perGroup.flatMap((questions, group) => questions.map((question) => ({ fact, group, question })));
  });
}

/** Sets of each case: the fact's refined units, then the random ones; a fact's are the same in all its cases. */
async function changeCases(model: Model, answers: Answers, cases: readonly Case[], { refined }: Attributed, { change, controls, seed }: { change: "suppress" | "scale"; controls: number; seed: number }, call: CallOptions): Promise<NativeUnitSetResult> {
  const drawn = refined.map((units, fact) => [units, ...Array.from({ length: controls }, (_, draw) => randomLike(model.architecture, units, createRandom(seed, 22, fact, draw)))]);
  const lists = cases.flatMap(({ fact }) => drawn[fact]);
  const offsets = new Int32Array(lists.length + 1);
  lists.forEach((units, set) => { offsets[set + 1] = offsets[set] + units.length; });
  const questions = questionsAt(answers, cases.map(({ question }) => question));
  const sets = { sets: 1 + controls, offsets, units: Int32Array.from(lists.flatMap((units) => Array.from(units))) };
  return changeUnits(model, questions, sets, { site: "both", change, factor: change === "scale" ? 2 : 1, target: { of: "probability", labels: "gold" } }, {}, call);
}

function summary(change: Changed["change"], group: number, cases: readonly Case[], result: NativeUnitSetResult, controls: number, seed: number): Changed[] {
  const own = cases.flatMap((each, at) => (each.group === group ? [{ fact: each.fact, at }] : []));
  if (own.length === 0) return [];
  const sets = 1 + controls;
  const changeOf = (at: number, set: number): number => result.changedValues[at * sets + set] - result.values[at];
  const flipOf = (at: number, set: number): number => Number(result.changedPredictions[at * sets + set] !== result.predictions[at]);
  const overDraws = (of: (at: number, set: number) => number) => (at: number): number => average(Array.from({ length: controls }, (_, draw) => of(at, 1 + draw)));
  const perFact = (of: (at: number) => number): number[] => [...new Set(own.map(({ fact }) => fact))].map((fact) => average(own.filter((each) => each.fact === fact).map(({ at }) => of(at))));
  return [{
    change, group: groups[group], questions: own.length, before: average(own.map(({ at }) => result.values[at])),
    refined: bootstrapMean(perFact((at) => changeOf(at, 0)), { seed }), random: bootstrapMean(perFact(overDraws(changeOf)), { seed }),
    refinedFlips: average(perFact((at) => flipOf(at, 0))), randomFlips: average(perFact(overDraws(flipOf))),
  }];
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
