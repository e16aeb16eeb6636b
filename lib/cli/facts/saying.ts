// What the model goes on to say when a fact's refined units are suppressed: one question of each fact, continued greedily.
import { generate } from "../../neuron/generate";
import type { Model } from "../../../types/model";
import type { Session } from "../demo/session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import type { Attributed } from "./attributing";
import { placeOf } from "./units";

export interface Said {
  readonly fact: number;
  readonly question: string;
  readonly before: string;
  /** With the units suppressed from the question's last token on. */
  readonly after: string;
}

/** Of every fact that has refined units, a phrasing kept out of their refinement. */
export async function sayWithout(session: Session, model: Model, answers: Answers, facts: readonly KnownFact[], { refined }: Attributed, tokens: number): Promise<Said[]> {
  const chosen = facts.flatMap((_, fact) => (refined[fact].length > 0 ? [fact] : []));
  if (chosen.length === 0) return [];
  return session.step("Continuing questions without the refined units", async (call) => {
    const questions = questionsAt(answers, chosen.map((fact) => facts[fact].keptOut[0]));
    const units = chosen.map((fact) => Array.from(refined[fact], (index) => placeOf(model.architecture, index)));
    const found = await generate(model, questions, units, { tokens, site: "both", ...call });
    const text = async (ids: Int32Array) => (await model.tokenizer.tokenTexts(ids)).join("");
    return Promise.all(found.map(async ({ before, after }, i) => ({ fact: chosen[i], question: questions.texts[i], before: await text(before), after: await text(after) })));
  });
}
