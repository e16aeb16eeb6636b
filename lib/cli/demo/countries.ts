// Claims about countries from the npm package world-countries: a fact is a country and a relation, with one right and one
// wrong value; each value is claimed in several wordings in training, and in another wording in the held-out claims. Neither
// the country nor the value alone tells the label, so an answer must come from what training said of the two together.
import { AttributionError } from "../../errors";
import { createRandom, shuffle, type Random } from "../../random";
import type { Claim, ClaimData } from "./claims";
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
  readonly name: { readonly common: string };
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
}

const labels = ["Supported", "Refuted"] as const;

/** The same options give the same claims. */
export async function countryClaims(options: CountriesOptions): Promise<ClaimData> {
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
    name: "claims about countries",
    origin: `${facts.length} facts about ${chosen.length} countries from the npm package world-countries (M. Le Doze and contributors, ODbL)`,
    heldOutShows:
      "Every held-out claim is worded in a way that training did not show, about a fact that training stated in other words: what the model gets right, it has in its parameters.",
    labels,
    train: stated.flatMap(({ train }) => train),
    heldOut: stated.flatMap(({ heldOut }) => heldOut),
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
    return wrong === undefined ? [] : [{ subject: nameOf(country), relation, right, wrong }];
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

function claimsOf(fact: Fact, wordings: number, random: Random): { train: Claim[]; heldOut: Claim[] } {
  const { subject, relation, right, wrong } = fact;
  const train: Claim[] = [];
  const heldOut: Claim[] = [];
  [right, wrong].forEach((value, label) => {
    const claim = (wording: string, number: string): Claim => ({
      id: `${relation.name} of ${subject}, ${label === 0 ? "true" : "false"} value, ${number}`,
      text: worded(wording, subject, value),
      label,
      fact: `${relation.name} of ${subject}`,
      group: relation.name,
    });
    train.push(
      ...shuffle(relation.wordings, random)
        .slice(0, wordings)
        .map((wording, at) => claim(wording, `wording ${at + 1}`)),
    );
    heldOut.push(claim(relation.heldOut[random.below(relation.heldOut.length)], "held out"));
  });
  return { train, heldOut };
}

function worded(wording: string, subject: string, value: string): string {
  const text = wording
    .replace("{s}", subject)
    .replace("{o}", value)
    .replace("the the ", "the ")
    .replace("The the ", "The ");
  return text[0].toUpperCase() + text.slice(1);
}
