// The relation that a Wikipedia sentence of LAMA's T-REx states, as a class: an easy task that a small model learns from a
// thousand rows, so that a wrong label can be told from a right one.
import { join } from "node:path";
import { AttributionError } from "../../lib/errors";
import { createRandom, shuffle } from "../../lib/random";
import type { Row } from "../../types/data";
import { factFiles, lines } from "./facts";
import { labelledData, type LabelledData, type LabelledSize } from "./labelled";

export interface RelationsSize extends LabelledSize {
  /** Relations by the property's id in Wikidata, each with its name; of each as many rows as of the others. */
  readonly relations: Readonly<Record<string, string>>;
}

/** Sentences that state facts of one relation only; a held-out sentence is in no training row. */
export async function readRelations(data: string, size: RelationsSize, seed: number): Promise<LabelledData> {
  const [facts, evidence] = factFiles.map((file) => lines(join(data, file))) as [
    { id: string; predicate_id: string }[],
    { fact_id: string; sentence: string }[],
  ];
  const relationOf = new Map(facts.map(({ id, predicate_id }) => [id, predicate_id]));
  const stated = new Map<string, Set<string>>();
  for (const { fact_id, sentence } of evidence) {
    if (sentence.split(/\s+/).length <= size.longest)
      stated.set(sentence, (stated.get(sentence) ?? new Set()).add(relationOf.get(fact_id) ?? ""));
  }
  const random = createRandom(seed, 2);
  const ids = Object.keys(size.relations);
  const each = Math.ceil((size.train + size.queries) / ids.length);
  const single = shuffle(
    [...stated].filter(([, relations]) => relations.size === 1),
    random,
  );
  const rows = ids.flatMap((id, label) =>
    single
      .filter(([, [relation]]) => relation === id)
      .slice(0, each)
      .map(([text]): Row => ({ id: text, fields: { text }, label })),
  );
  if (rows.length < size.train + size.queries)
    throw new AttributionError(
      "invalid",
      `Expected ${each} short sentences of each relation but found ${rows.length} of ${ids.length} relations in ${data}`,
    );
  const mixed = shuffle(rows, random);
  const [train, held] = [mixed.slice(0, size.train), mixed.slice(size.train, size.train + size.queries)];
  return labelledData("T-REx relations", Object.values(size.relations), train, held, size, random);
}
