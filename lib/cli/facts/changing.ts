// Suppressing and doubling the refined and the specific units of each fact, beside as many random units of the same layers: on the
// fact itself, on its phrasings kept out, and on facts with other answers that had no part in choosing them.
import { changeUnits } from "../../neuron/changed-units";
import { randomLike } from "../../neuron/random-units";
import { createRandom, shuffle } from "../../random";
import { bootstrapMean } from "../../statistics";
import type { CallOptions } from "../../../types/common";
import type { Model } from "../../../types/model";
import type { NativeUnitSetResult } from "../../../types/native";
import type { Estimate } from "../../../types/results";
import type { Session } from "../session";
import { questionsAt, sameAnswer, type Answers, type KeptFacts, type KnownFact } from "./asking";
import { unitKinds, type Attributed, type UnitKind } from "./attributing";

export const groups = [
  "the fact itself",
  "its phrasings kept out",
  "other facts, same relation",
  "other facts, other relation",
] as const;
export const changes = ["suppressed", "doubled"] as const;

export interface Changed {
  readonly kind: UnitKind;
  readonly change: (typeof changes)[number];
  readonly group: (typeof groups)[number];
  readonly questions: number;
  /** Mean probability of the answer before. */
  readonly before: number;
  /** Change of that probability; means over facts. */
  readonly chosen: Estimate;
  readonly random: Estimate;
  /** Share of questions whose most probable token changes. */
  readonly chosenFlips: number;
  readonly randomFlips: number;
}

/** Other facts of each relation that every fact's units are tried on. */
const otherFacts = 5;

interface Case {
  readonly fact: number;
  readonly group: number;
  readonly question: number;
}

export async function changeFacts(
  session: Session,
  model: Model,
  answers: Answers,
  kept: KeptFacts,
  attributed: Attributed,
  controls: number,
): Promise<Changed[]> {
  const { seed } = session;
  const all = casesOf(answers, kept, seed);
  return session.step(
    `Suppressing and doubling refined, specific and random units in ${all.length} questions`,
    async (call) => {
      const found: Changed[] = [];
      for (const kind of unitKinds) {
        const cases = all.filter(({ fact }) => attributed.units[kind][fact].length > 0);
        for (const change of cases.length === 0 ? [] : changes) {
          const result = await changeCases(
            model,
            answers,
            cases,
            attributed.units[kind],
            { change, controls, seed },
            call,
          );
          found.push(...groups.flatMap((_, group) => summary({ kind, change, group }, cases, result, controls, seed)));
        }
      }
      return found;
    },
  );
}

/** Of each fact its refining and kept-out questions, and one question of unseen facts of either kind whose answer is another. */
function casesOf(answers: Answers, { facts, unseen }: KeptFacts, seed: number): Case[] {
  return facts.flatMap((own, fact) => {
    const others = shuffle(
      unseen.filter((other) => !sameAnswer(answers, own, other)),
      createRandom(seed, 21, fact),
    );
    const firsts = (chosen: readonly KnownFact[]): number[] =>
      chosen.slice(0, otherFacts).map(({ refining }) => refining[0]);
    const perGroup = [
      own.refining,
      own.keptOut,
      firsts(others.filter(({ relation }) => relation === own.relation)),
      firsts(others.filter(({ relation }) => relation !== own.relation)),
    ];
    return perGroup.flatMap((questions, group) => questions.map((question) => ({ fact, group, question })));
  });
}

interface ChangePlan {
  readonly change: Changed["change"];
  readonly controls: number;
  readonly seed: number;
}

/** Sets of each case: the fact's units, then the random ones; a fact's are the same in all its cases. */
async function changeCases(
  model: Model,
  answers: Answers,
  cases: readonly Case[],
  units: readonly Int32Array[],
  { change, controls, seed }: ChangePlan,
  call: CallOptions,
): Promise<NativeUnitSetResult> {
  const drawn = units.map((own, fact) => [
    own,
    ...Array.from({ length: controls }, (_, draw) =>
      randomLike(model.architecture, own, createRandom(seed, 22, fact, draw)),
    ),
  ]);
  const lists = cases.flatMap(({ fact }) => drawn[fact]);
  const offsets = new Int32Array(lists.length + 1);
  lists.forEach((list, set) => {
    offsets[set + 1] = offsets[set] + list.length;
  });
  const questions = questionsAt(
    answers,
    cases.map(({ question }) => question),
  );
  const sets = { sets: 1 + controls, offsets, units: Int32Array.from(lists.flatMap((list) => Array.from(list))) };
  const done = change === "suppressed" ? { change: "suppress" as const } : { change: "scale" as const, factor: 2 };
  return changeUnits(
    model,
    questions,
    sets,
    { site: "both", ...done, target: { of: "probability", labels: "gold" } },
    {},
    call,
  );
}

function summary(
  { kind, change, group }: Pick<Changed, "kind" | "change"> & { readonly group: number },
  cases: readonly Case[],
  result: NativeUnitSetResult,
  controls: number,
  seed: number,
): Changed[] {
  const own = cases.flatMap((each, at) => (each.group === group ? [{ fact: each.fact, at }] : []));
  if (own.length === 0) return [];
  const sets = 1 + controls;
  const changeOf = (at: number, set: number): number => result.changedValues[at * sets + set] - result.values[at];
  const flipOf = (at: number, set: number): number =>
    Number(result.changedPredictions[at * sets + set] !== result.predictions[at]);
  const overDraws =
    (of: (at: number, set: number) => number) =>
    (at: number): number =>
      average(Array.from({ length: controls }, (_, draw) => of(at, 1 + draw)));
  const perFact = (of: (at: number) => number): number[] =>
    [...new Set(own.map(({ fact }) => fact))].map((fact) =>
      average(own.filter((each) => each.fact === fact).map(({ at }) => of(at))),
    );
  return [
    {
      kind,
      change,
      group: groups[group],
      questions: own.length,
      before: average(own.map(({ at }) => result.values[at])),
      chosen: bootstrapMean(
        perFact((at) => changeOf(at, 0)),
        { seed },
      ),
      random: bootstrapMean(perFact(overDraws(changeOf)), { seed }),
      chosenFlips: average(perFact((at) => flipOf(at, 0))),
      randomFlips: average(perFact(overDraws(flipOf))),
    },
  ];
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
