// Claims about countries from the npm package world-countries: a fact is a country and a relation, with one right and one
// wrong value; each value is claimed in several wordings in training, and in another wording in the held-out claims. Neither
// the country nor the value alone tells the label, so an answer must come from what training said of the two together.
import { AttributionError } from "../../errors";
import { createRandom, shuffle, type Random } from "../../random";
import type { StudyData, StudyRow } from "../rows";
import { relations, type Relation } from "./wordings";

export interface CountriesOptions {
  readonly seed: number;
  /** How many countries, the largest first. */
  readonly countries: number;
  /** Training claims of each value. */
  readonly wordings: number;
}

/** What the package says of a country, as far as it is used here. */
export interface Country {
  readonly name: { readonly common: string; readonly official: string };
  readonly cca3: string;
  readonly unMember: boolean;
  readonly capital: readonly string[];
  readonly subregion: string;
  readonly languages: Readonly<Record<string, string>>;
  readonly currencies: Readonly<Record<string, { readonly name: string }>>;
  readonly borders: readonly string[];
  readonly area: number;
}

interface Fact {
  readonly subject: string;
  readonly relation: Relation;
  readonly right: string;
  readonly wrong: string;
  /** All that is true. */
  readonly values: readonly string[];
}

const labels = ["Supported", "Refuted"] as const;

type Claims = Pick<
  StudyData,
  "origin" | "heldOutShows" | "labels" | "train" | "heldOut" | "outOfDistribution" | "outOfDistributionIs"
>;

/** The same options give the same claims. */
export async function countryClaims(options: CountriesOptions): Promise<Claims> {
  const all = await readCountries();
  const chosen = all
    .filter(({ unMember }) => unMember)
    .sort((a, b) => b.area - a.area)
    .slice(0, options.countries);
  const facts = relations.flatMap((relation, stream) =>
    factsOf(relation, chosen, all, createRandom(options.seed, 2, stream)),
  );
  const random = createRandom(options.seed, 3);
  const stated = facts.map((fact) => claimsOf(fact, options.wordings, random));
  return {
    origin: `${facts.length} facts about ${chosen.length} countries from the npm package world-countries (M. Le Doze and contributors, ODbL)`,
    heldOutShows:
      "Every held-out claim is worded in a way that training did not show, about a fact that training stated in other words: what the model gets right, it has in its parameters.",
    labels,
    train: stated.flatMap(({ train }) => train),
    heldOut: stated.flatMap(({ heldOut }) => heldOut),
    outOfDistribution: neverClaimed(facts, createRandom(options.seed, 5)),
    outOfDistributionIs:
      "false claims that put a country together with a value that training never claims of it, true or not: no pair to remember, so a model that only remembers pairs can but guess",
  };
}

export async function readCountries(): Promise<readonly Country[]> {
  try {
    const { default: countries } = (await import("world-countries")) as unknown as { default: readonly Country[] };
    return countries;
  } catch (cause) {
    throw new AttributionError(
      "missing",
      'The npm package "world-countries" is not installed: run "npm install" in a clone of the project, or give your own --model and --data',
      { cause },
    );
  }
}

/** One fact per country that has values; the wrong one is another country's right one, so that values do not tell the label. */
function factsOf(relation: Relation, countries: readonly Country[], all: readonly Country[], random: Random): Fact[] {
  const known = countries
    .map((country) => ({ country, values: valuesOf(relation, country, all) }))
    .filter(({ values }) => values.length > 0);
  const chosen = known.map(({ country, values }) => ({ country, values, right: values[random.below(values.length)] }));
  return chosen.flatMap(({ country, values, right }) => {
    const wrong = shuffle(
      chosen.map((other) => other.right),
      random,
    ).find((value) => !values.some((known) => overlaps(known, value)) && value !== nameOf(country));
    return wrong === undefined ? [] : [{ subject: nameOf(country), relation, right, wrong, values }];
  });
}

/** German is no wrong answer where Swiss German is a right one. */
function overlaps(known: string, value: string): boolean {
  return known.includes(value) || value.includes(known);
}

/** All that is true of a country; none where the name gives the answer away. */
function valuesOf({ name }: Relation, country: Country, all: readonly Country[]): readonly string[] {
  switch (name) {
    case "capital":
      return country.capital.filter((capital) => !capital.includes(country.name.common));
    case "region":
      return country.subregion === "" ? [] : [country.subregion === "Caribbean" ? "the Caribbean" : country.subregion];
    case "language":
      return Object.values(country.languages);
    case "currency":
      return Object.values(country.currencies)
        .map((currency) => currency.name)
        .filter((currency) => currency !== "");
    default:
      return all.filter(({ cca3, unMember }) => unMember && country.borders.includes(cca3)).map(nameOf);
  }
}

const withArticle =
  /^(United |Netherlands|Philippines|Bahamas|Maldives|Comoros|Seychelles|Gambia|DR )|Islands$|Republic/;

export function nameOf({ name }: Country): string {
  return withArticle.test(name.common) ? `the ${name.common}` : name.common;
}

const claimed = (fact: Fact, wording: string, value: string, label: number, number: string): StudyRow => ({
  id: `${fact.relation.name} of ${fact.subject}, ${["true", "false"][label]} value, ${number}`,
  fields: { claim: worded(wording, fact.subject, value) },
  label,
  fact: `${fact.relation.name} of ${fact.subject}`,
  group: fact.relation.name,
});

function claimsOf(fact: Fact, wordings: number, random: Random): { train: StudyRow[]; heldOut: StudyRow[] } {
  const { relation, right, wrong } = fact;
  const train: StudyRow[] = [];
  const heldOut: StudyRow[] = [];
  [right, wrong].forEach((value, label) => {
    const chosen = shuffle(relation.wordings, random).slice(0, wordings);
    train.push(...chosen.map((wording, at) => claimed(fact, wording, value, label, `wording ${at + 1}`)));
    heldOut.push(claimed(fact, relation.heldOut[random.below(relation.heldOut.length)], value, label, "new wording"));
  });
  return { train, heldOut };
}

/** One false claim for each fact, with a value that training claims of other countries only. */
function neverClaimed(facts: readonly Fact[], random: Random): StudyRow[] {
  return facts.flatMap((fact) => {
    const others = facts.filter(
      ({ relation, right }) =>
        relation === fact.relation &&
        ![...fact.values, fact.wrong].some((value) => overlaps(value, right)) &&
        right !== fact.subject,
    );
    if (others.length === 0) return [];
    const { right: value } = others[random.below(others.length)];
    return [
      claimed(fact, fact.relation.heldOut[random.below(fact.relation.heldOut.length)], value, 1, "never claimed"),
    ];
  });
}

function worded(wording: string, subject: string, value: string): string {
  const text = wording
    .replace("{s}", subject)
    .replace("{o}", value)
    .replace("the the ", "the ")
    .replace("The the ", "The ");
  return text[0].toUpperCase() + text.slice(1);
}
