// Fact tracing on LAMA's T-REx: Wikipedia sentences to train on, cloze queries, and which sentences state what is asked.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AttributionError } from "../../lib/errors";
import { createRandom, shuffle } from "../../lib/random";

export interface FactsSize {
  readonly queries: number;
  /** Training sentences, those that state what is asked among them. */
  readonly sentences: number;
  /** Sentences about other facts, which the base model learns its English from. */
  readonly background: number;
  /** Longest sentence, in words. */
  readonly longest: number;
}

export interface FactsData {
  readonly background: readonly string[];
  readonly train: readonly string[];
  /** The prompt ends where the answer begins. */
  readonly queries: readonly { readonly id: string; readonly prompt: string; readonly answer: string }[];
  /** Of each query: the training sentences that state its fact. */
  readonly truth: readonly (readonly number[])[];
}

interface Fact {
  readonly id: string;
  readonly subject: string;
  readonly object: string;
  readonly query: string;
}

export const factFiles = ["facts/trex_facts.jsonl", "facts/trex_evidence.jsonl"] as const;

/** How many sentences must state a fact that is asked, and how many of them are trained on at most. */
const [fewest, most] = [3, 5];
/** Of the sentences that state nothing that is asked: share of those that name a subject or an answer of the queries. */
const nearShare = 0.75;
const blank = /\s*\[MASK\]\s*\.?\s*$/;

export function readFacts(data: string, size: FactsSize, seed: number): FactsData {
  const [facts, evidence] = factFiles.map((file) => lines(join(data, file)));
  const sentences = shortSentences(evidence as readonly { fact_id: string; sentence: string }[], size.longest);
  const random = createRandom(seed);
  const shuffled = shuffle(facts as readonly Fact[], random);
  const asked = distinctPrompts(
    shuffled.filter((fact) => blank.test(fact.query) && statements(fact, sentences).length >= fewest),
  ).slice(0, size.queries);
  if (asked.length < size.queries)
    throw new AttributionError(
      "invalid",
      `Expected ${size.queries} facts that ${fewest} short sentences state but found ${asked.length} in ${data}`,
    );
  const stating = [...new Set(asked.flatMap((fact) => statements(fact, sentences).slice(0, most)))];
  const others = [...new Set(shuffled.flatMap(({ id }) => sentences.get(id) ?? []))].filter(
    (sentence) => !asked.some((fact) => states(sentence, fact)),
  );
  const near = others.filter((sentence) =>
    asked.some((fact) => names(sentence, fact.subject) || names(sentence, fact.object)),
  );
  const distracting = [
    ...new Set([...near.slice(0, Math.ceil((size.sentences - stating.length) * nearShare)), ...others]),
  ].slice(0, size.sentences - stating.length);
  const train = shuffle([...stating, ...distracting], random);
  const taken = new Set(train);
  return {
    train,
    background: others.filter((sentence) => !taken.has(sentence)).slice(0, size.background),
    queries: asked.map(({ id, query, object }) => ({ id, prompt: query.replace(blank, ""), answer: object })),
    truth: asked.map((fact) => train.flatMap((sentence, i) => (states(sentence, fact) ? [i] : []))),
  };
}

export function lines(path: string): unknown[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as unknown);
}

function shortSentences(
  evidence: readonly { fact_id: string; sentence: string }[],
  longest: number,
): Map<string, string[]> {
  const sentences = new Map<string, string[]>();
  for (const { fact_id: id, sentence } of evidence) {
    if (sentence.split(/\s+/).length > longest) continue;
    const known = sentences.get(id) ?? [];
    if (!known.includes(sentence)) sentences.set(id, [...known, sentence]);
  }
  return sentences;
}

/** A sentence states a fact where it names subject and object. */
function states(sentence: string, { subject, object }: Fact): boolean {
  return names(sentence, subject) && names(sentence, object);
}

const names = (sentence: string, name: string): boolean => sentence.toLowerCase().includes(name.toLowerCase());

function statements(fact: Fact, sentences: ReadonlyMap<string, readonly string[]>): string[] {
  return (sentences.get(fact.id) ?? []).filter((sentence) => states(sentence, fact));
}

/** Of facts that are asked alike (two professions of one person) the first. */
function distinctPrompts(facts: readonly Fact[]): Fact[] {
  return [...new Map(facts.map((fact): [string, Fact] => [fact.query, fact]).reverse()).values()].reverse();
}
