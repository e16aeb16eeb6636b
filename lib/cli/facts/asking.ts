// What the model knows: every fact is asked in every phrasing, and counts as known in one where its answer's first token is the
// most probable next token. Facts known in enough phrasings are kept; of each, some phrasings are kept out of the refinement.
import { createInstances, selectInstances } from "../../data/instances";
import { AttributionError } from "../../errors";
import { evaluate } from "../../model/evaluate";
import { createRandom, shuffle } from "../../random";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { Session } from "../session";
import { asked, type Fact, type Quiz } from "./questions";

/** All questions, [fact][phrasing] one after the other, and what the model answers. */
export interface Answers {
  readonly questions: Instances;
  /** [fact][phrasing] */
  readonly right: readonly (readonly boolean[])[];
  /** [fact] number of the fact's first question. */
  readonly first: readonly number[];
  /** Facts whose answer is one token. */
  readonly wholeAnswers: number;
}

/** A known fact, with the questions that refine its units and those kept out. */
export interface KnownFact extends Fact {
  readonly refining: readonly number[];
  readonly keptOut: readonly number[];
}

export interface KeptFacts {
  /** Those that are attributed. */
  readonly facts: readonly KnownFact[];
  /** Others, asked once each: what their answers rest on is not specific to a fact. */
  readonly negatives: readonly KnownFact[];
  /** The rest, in which specificity is tested. */
  readonly unseen: readonly KnownFact[];
}

export async function ask(session: Session, model: Model, quiz: Quiz): Promise<Answers> {
  const { questions, first, wholeAnswers } = await questionsOf(model, quiz);
  const { predictions } = await session.step(
    `Asking ${quiz.facts.length} facts in several phrasings`,
    (call) => evaluate(model, questions, call),
    ({ accuracy }) => `${(100 * accuracy).toFixed(1)} % of ${questions.size} questions answered right`,
  );
  const isRight = (question: number): boolean => predictions[question] === questions.labels[question];
  const right = quiz.facts.map(({ relation }, fact) =>
    quiz.relations[relation].phrasings.map((_, phrasing) => isRight(first[fact] + phrasing)),
  );
  return { questions, right, first, wholeAnswers };
}

async function questionsOf({ tokenizer }: Model, quiz: Quiz): Promise<Omit<Answers, "right">> {
  const answers = await tokenizer.encode(quiz.facts.map(({ answer }) => ` ${answer}`));
  const all = quiz.facts.flatMap((fact, number) =>
    quiz.relations[fact.relation].phrasings.map((_, phrasing) => ({
      fact,
      number,
      phrasing,
      text: asked(quiz, fact, phrasing),
    })),
  );
  const rows = await tokenizer.encode(all.map(({ text }) => quiz.start + text));
  const first: number[] = [];
  all.forEach(({ number, phrasing }, question) => {
    if (phrasing === 0) first[number] = question;
  });
  const questions = createInstances({
    kind: "causalLM",
    rows,
    labels: all.map(({ number }) => answers[number][0]),
    ids: all.map(({ fact, phrasing }) => `${fact.id}, phrasing ${phrasing + 1}`),
    texts: all.map(({ text }) => text),
  });
  return { questions, first, wholeAnswers: answers.filter(({ length }) => length === 1).length };
}

export interface Keeping {
  /** Facts to attribute at most, the relations taking turns. */
  readonly facts: number;
  /** Further ones to compare with. */
  readonly negatives: number;
  /** Phrasings that a fact must be known in. */
  readonly enough: number;
  /** How many of these are kept out of the refinement. */
  readonly keptOut: number;
}

/** Numbers of the facts known in enough phrasings. */
export function knownFacts({ right }: Answers, { enough }: Keeping): number[] {
  return right.flatMap((phrasings, fact) => (phrasings.filter(Boolean).length >= enough ? [fact] : []));
}

/** Known facts to work on, drawn by the seed; "missing" with fewer than two. */
export function keep(quiz: Quiz, answers: Answers, keeping: Keeping, seed: number): KeptFacts {
  const known = knownFacts(answers, keeping);
  const piles = quiz.relations.map((_, relation) =>
    shuffle(
      known.filter((fact) => quiz.facts[fact].relation === relation),
      createRandom(seed, 11, relation),
    ),
  );
  const order = Array.from({ length: known.length }, (_, round) =>
    piles.flatMap((pile) => pile.slice(round, round + 1)),
  ).flat();
  if (order.length < 2)
    throw new AttributionError(
      "missing",
      `The model knows ${order.length} of ${quiz.facts.length} facts in at least ${keeping.enough} phrasings; two are needed to compare`,
    );
  const all = order.map((fact) => {
    const right = shuffle(
      answers.right[fact].flatMap((isRight, phrasing) => (isRight ? [answers.first[fact] + phrasing] : [])),
      createRandom(seed, 12, fact),
    );
    return { ...quiz.facts[fact], keptOut: right.slice(0, keeping.keptOut), refining: right.slice(keeping.keptOut) };
  });
  const attributed = keeping.facts,
    compared = attributed + keeping.negatives;
  return { facts: all.slice(0, attributed), negatives: all.slice(attributed, compared), unseen: all.slice(compared) };
}

/** Whether two facts have the same answer: then each one's units rightly serve the other. */
export function sameAnswer({ questions: { labels } }: Answers, one: KnownFact, other: KnownFact): boolean {
  return labels[one.refining[0]] === labels[other.refining[0]];
}

/** The questions with these numbers. */
export function questionsAt({ questions }: Answers, numbers: readonly number[]): Instances {
  return selectInstances(questions, numbers);
}
