// What the model goes on to say when a fact's refined or specific units are suppressed: one question of each fact, continued greedily.
import { generate } from "../../neuron/generate";
import type { Model } from "../../../types/model";
import type { Session } from "../session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import { unitKinds, type Attributed, type UnitKind } from "./attributing";
import { placeOf } from "../../neuron/random-units";

export interface Said {
  readonly fact: number;
  readonly question: string;
  readonly before: string;
  /** With the units suppressed from the question's last token on; undefined where the fact has none of the kind. */
  readonly after: Readonly<Record<UnitKind, string | undefined>>;
}

/** Of every fact a phrasing kept out of the refinement of its units. */
export async function sayWithout(
  session: Session,
  model: Model,
  answers: Answers,
  facts: readonly KnownFact[],
  { units }: Attributed,
  tokens: number,
): Promise<Said[]> {
  const asked = facts.flatMap((_, fact) =>
    unitKinds.flatMap((kind) => (units[kind][fact].length > 0 ? [{ fact, kind }] : [])),
  );
  if (asked.length === 0) return [];
  return session.step("Continuing questions without the units", async (call) => {
    const questions = questionsAt(
      answers,
      asked.map(({ fact }) => facts[fact].keptOut[0]),
    );
    const lists = asked.map(({ fact, kind }) =>
      Array.from(units[kind][fact], (index) => placeOf(model.architecture, index)),
    );
    const found = await generate(model, questions, lists, { tokens, site: "both", ...call });
    const text = async (ids: Int32Array) => (await model.tokenizer.tokenTexts(ids)).join("");
    const texts = await Promise.all(
      found.map(async ({ before, after }) => ({ before: await text(before), after: await text(after) })),
    );
    const without = (own: number, kind: UnitKind) =>
      texts.find((_, i) => asked[i].fact === own && asked[i].kind === kind)?.after;
    return asked.flatMap(({ fact }, i): Said[] =>
      i > 0 && asked[i - 1].fact === fact
        ? []
        : [
            {
              fact,
              question: questions.texts[i],
              before: texts[i].before,
              after: { refined: without(fact, "refined"), specific: without(fact, "specific") },
            },
          ],
    );
  });
}
