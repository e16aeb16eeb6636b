// What is asked: capitals and languages of countries from the npm package world-countries, each in several phrasings. The answer
// is what must come next.
import { type Country, nameOf, readCountries } from "../../study/claims/countries";

export interface Fact {
  /** E.g. "capital of France". */
  readonly id: string;
  readonly subject: string;
  /** Index into the relations. */
  readonly relation: number;
  readonly answer: string;
  /** Another name of the subject. */
  readonly synonym?: string;
}

export interface Relation {
  readonly name: string;
  /** {s} is the subject; the answer follows after a space. */
  readonly phrasings: readonly string[];
  /** The fact from its answer {o}, where it is one to one; the subject follows. */
  readonly reversed?: string;
}

export interface Quiz {
  /** Where the facts come from, in a sentence. */
  readonly origin: string;
  readonly relations: readonly Relation[];
  readonly facts: readonly Fact[];
  /** Written before every question: a special token, or nothing. */
  readonly start: string;
}

const relations: readonly Relation[] = [
  {
    name: "capital",
    phrasings: [
      "The capital of {s} is",
      "The capital city of {s} is",
      "The capital of the country {s} is the city of",
      "{s}, whose capital is",
      "{s}'s capital city is",
    ],
    reversed: "{o} is the capital city of the country",
  },
  {
    name: "language",
    phrasings: [
      "The official language of {s} is",
      "The national language of {s} is",
      "In {s}, the official language is",
      "The official and most widely spoken language of {s} is",
      "People in {s} speak",
    ],
  },
];

/** SmolLM2 answers more of 400 known facts right after <|endoftext|> (29.0 %) than after nothing (22.75 %) or <|im_start|> (19.5 %). */
export const smolLM2Start = "<|endoftext|>";

/** The capitals and languages of the largest countries, of those that have one each, unless the country's name says it. */
export async function countryQuiz(countries: number): Promise<Quiz> {
  const largest = (await readCountries())
    .filter(({ unMember }) => unMember)
    .sort((a, b) => b.area - a.area)
    .slice(0, countries);
  const facts = relations.flatMap(({ name }, relation) =>
    largest.flatMap((country): Fact[] => {
      const subject = nameOf(country);
      const values = name === "capital" ? country.capital : Object.values(country.languages);
      return values.length !== 1 || subject.includes(values[0]) || values[0].includes(country.name.common)
        ? []
        : [{ id: `${name} of ${subject}`, subject, relation, answer: values[0], ...synonymOf(country) }];
    }),
  );
  return {
    origin: `${facts.length} facts about the ${largest.length} largest countries from the npm package world-countries (M. Le Doze and contributors, ODbL)`,
    relations,
    facts,
    start: smolLM2Start,
  };
}

/** The official name, where it is another one. */
function synonymOf({ name }: Country): Pick<Fact, "synonym"> {
  return name.official === name.common ? {} : { synonym: `the ${name.official}` };
}

/** A fact's question in one phrasing, without the start token. */
export function asked({ relations: all }: Quiz, { subject, relation }: Fact, phrasing: number): string {
  const text = all[relation].phrasings[phrasing].replace("{s}", subject).replace("the the ", "the ");
  return text[0].toUpperCase() + text.slice(1);
}
