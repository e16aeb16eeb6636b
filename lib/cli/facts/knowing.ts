// Do a fact's units hold the fact, or a pair of words? They are suppressed where the subject has its official name, where the fact is
// asked the other way round, and the answer is watched: is it another one, or the same with less probability?
import { createInstances } from "../../data/instances";
import { categoricalChange, knowledgeSymmetry } from "../../neuron/knowledge-tests";
import { placeOf } from "../../neuron/random-units";
import type { Model } from "../../../types/model";
import type { Instances } from "../../../types/data";
import type { CategoricalChange, KnowledgeSymmetry } from "../../../types/knowledge";
import type { Session } from "../session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import { unitKinds, type Attributed, type UnitKind } from "./attributing";
import type { Quiz } from "./questions";

export const counterparts = ["the subject's other name", "the fact the other way round"] as const;

export interface Known {
  readonly kind: UnitKind;
  readonly facts: number;
  /** Of the facts that have the counterpart. */
  readonly symmetries: readonly {
    readonly counterpart: (typeof counterparts)[number];
    readonly facts: number;
    readonly symmetry: KnowledgeSymmetry;
  }[];
  readonly change: CategoricalChange;
}

interface Asked {
  readonly fact: number;
  readonly text: string;
  /** Text whose first token is the answer; the fact's own answer without. */
  readonly answer?: string;
}

export async function testKnowing(
  session: Session,
  model: Model,
  quiz: Quiz,
  answers: Answers,
  facts: readonly KnownFact[],
  { units }: Attributed,
  controls: number,
): Promise<Known[]> {
  const { seed } = session;
  return session.step("Synonyms, both directions, and a change of category", async (call) => {
    const found: Known[] = [];
    for (const kind of unitKinds) {
      const own = facts.map((_, fact) => fact).filter((fact) => units[kind][fact].length > 0);
      if (own.length === 0) continue;
      const places = (chosen: readonly number[]) =>
        chosen.map((fact) => Array.from(units[kind][fact], (index) => placeOf(model.architecture, index)));
      const prompts = (chosen: readonly number[]): Instances =>
        questionsAt(
          answers,
          chosen.map((fact) => facts[fact].keptOut[0] ?? facts[fact].refining[0]),
        );
      const options = { controls, seed, ...call };
      const symmetries: Known["symmetries"][number][] = [];
      for (const [at, asked] of [synonymsOf(quiz, facts, own), reversedOf(quiz, facts, own)].entries()) {
        if (asked.length === 0) continue;
        const chosen = asked.map(({ fact }) => fact);
        const others = await questionsOf(model, quiz, facts, asked);
        const symmetry = await knowledgeSymmetry(model, prompts(chosen), others, places(chosen), options);
        symmetries.push({ counterpart: counterparts[at], facts: chosen.length, symmetry });
      }
      const change = await categoricalChange(model, prompts(own), places(own), options);
      found.push({ kind, facts: own.length, symmetries, change });
    }
    return found;
  });
}

function synonymsOf({ relations }: Quiz, facts: readonly KnownFact[], own: readonly number[]): Asked[] {
  return own.flatMap((fact) => {
    const { synonym, relation } = facts[fact];
    if (synonym === undefined) return [];
    return [{ fact, text: relations[relation].phrasings[0].replace("{s}", synonym) }];
  });
}

function reversedOf({ relations }: Quiz, facts: readonly KnownFact[], own: readonly number[]): Asked[] {
  return own.flatMap((fact) => {
    const { relation, answer, subject } = facts[fact];
    const { reversed } = relations[relation];
    if (reversed === undefined) return [];
    return [{ fact, text: reversed.replace("{o}", answer), answer: subject.replace(/^the /, "") }];
  });
}

async function questionsOf(
  { tokenizer }: Model,
  { start }: Quiz,
  facts: readonly KnownFact[],
  asked: readonly Asked[],
): Promise<Instances> {
  const answers = await tokenizer.encode(asked.map(({ fact, answer }) => ` ${answer ?? facts[fact].answer}`));
  return createInstances({
    kind: "causalLM",
    rows: await tokenizer.encode(asked.map(({ text }) => start + text)),
    labels: answers.map(([first]) => first),
    ids: asked.map(({ fact }) => facts[fact].id),
    texts: asked.map(({ text }) => text),
  });
}
