// Claims as the demo's stages take them: texts with a label and, where it is known, the fact that a claim speaks of. Known
// facts make known truth: the training claims that state what a query asks.
import { createDataset } from "../../data/dataset";
import { createRandom, shuffle } from "../../random";
import type { CallOptions } from "../../../types/common";
import type { Dataset, Row } from "../../../types/data";

export interface Claim {
  readonly id: string;
  readonly text: string;
  /** The row's fields; without them the text is the field "claim". */
  readonly fields?: Row["fields"];
  /** Index into the labels. */
  readonly label: number;
  /** Names subject and relation, e.g. "capital of France"; claims with the same one are about the same thing, true or not. */
  readonly fact?: string;
  /** What results may be broken down by, e.g. "capital". */
  readonly group?: string;
}

export interface ClaimData {
  readonly name: string;
  /** Where the claims come from, in a sentence. */
  readonly origin: string;
  /** What a right answer to a held-out claim shows, in a sentence. */
  readonly heldOutShows: string;
  readonly labels: readonly string[];
  readonly train: readonly Claim[];
  readonly heldOut: readonly Claim[];
}

/** The training claims that a query's answer is known to be stated in. */
export interface Truth {
  /** [query] claims about the same subject and relation, whatever their label. */
  readonly sameFact: readonly (readonly number[])[];
  /** [query] those of them with the query's own label: the same claim in other words. */
  readonly sameClaim: readonly (readonly number[])[];
}

/** Undefined where no query's fact is stated in training. */
export function truthOf(train: readonly Claim[], queries: readonly Claim[]): Truth | undefined {
  const stating = new Map<string, number[]>();
  train.forEach(({ fact }, index) => {
    if (fact !== undefined) stating.set(fact, [...(stating.get(fact) ?? []), index]);
  });
  const sameFact = queries.map(({ fact }) => (fact === undefined ? [] : (stating.get(fact) ?? [])));
  if (sameFact.every((claims) => claims.length === 0)) return undefined;
  const sameClaim = sameFact.map((claims, query) =>
    claims.filter((index) => train[index].label === queries[query].label),
  );
  return { sameFact, sameClaim };
}

/** Held-out claims to ask about: every label in turn, so that none is missing, otherwise at random. */
export function chooseQueries(claims: readonly Claim[], count: number, seed: number): readonly Claim[] {
  const random = createRandom(seed, 1);
  const byLabel = new Map<number, Claim[]>();
  for (const claim of shuffle(claims, random)) byLabel.set(claim.label, [...(byLabel.get(claim.label) ?? []), claim]);
  const piles = [...byLabel.entries()].sort(([a], [b]) => a - b).map(([, pile]) => pile);
  const chosen: Claim[] = [];
  for (let round = 0; chosen.length < Math.min(count, claims.length); round++) {
    for (const pile of piles) if (round < pile.length && chosen.length < count) chosen.push(pile[round]);
  }
  return chosen;
}

/** Share of the most frequent label: what a model that knows nothing can reach. */
export function majorityShare(claims: readonly Claim[]): number {
  const counts = new Map<number, number>();
  for (const { label } of claims) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Math.max(...counts.values()) / claims.length;
}

export async function datasetOf(
  claims: readonly Claim[],
  labels: readonly string[],
  name: string,
  call: CallOptions = {},
): Promise<Dataset> {
  const rows = claims.map(({ id, text, fields = { claim: text }, label }) => ({ id, fields, label }));
  return createDataset(rows, { name, labels, ...call });
}
