// Pairs of prompts that differ in one word, which decides the next one: agreement of subject and verb over an attractor, and facts.
// Both prompts of a pair have as many tokens.
import { createInstances } from "../../lib/data/instances";
import { createRandom, shuffle } from "../../lib/random";
import { wordTokenizer } from "../../lib/study/claims/word-tokenizer";
import type { Instances, Tokenizer } from "../../types/data";

interface Pair {
  readonly prompt: string;
  readonly other: string;
  readonly answer: string;
  readonly otherAnswer: string;
}

export interface MadePairs {
  readonly tokenizer: Tokenizer;
  readonly train: Instances;
  readonly prompts: Instances;
  readonly against: Instances;
  /** [prompt] token ids of its answer and of the other prompt's. */
  readonly answers: Int32Array;
  readonly otherAnswers: Int32Array;
}

const nouns = ["cat", "dog", "bird", "horse", "king", "child", "teacher", "doctor", "farmer", "sailor"];
const verbs = ["sleep", "run", "sing", "wait", "laugh", "eat"];
const places = ["near", "behind", "beside"];
const capitals = [
  ["France", "Paris"],
  ["Japan", "Tokyo"],
  ["Egypt", "Cairo"],
  ["Peru", "Lima"],
  ["Chile", "Santiago"],
  ["Spain", "Madrid"],
  ["Kenya", "Nairobi"],
  ["Cuba", "Havana"],
  ["Norway", "Oslo"],
  ["Greece", "Athens"],
  ["Iraq", "Baghdad"],
  ["Ghana", "Accra"],
] as const;
const wordings = ["the capital of {s} is", "{s} is governed from", "the largest city of {s} is"];

const plural = (noun: string, isPlural: boolean): string =>
  isPlural ? (noun === "child" ? "children" : `${noun}s`) : noun;
const verbOf = (verb: string, isPlural: boolean): string => (isPlural ? verb : `${verb}s`);

function agreement(random: ReturnType<typeof createRandom>): Pair {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)];
  const [noun, attractor, place, verb] = [pick(nouns), pick(nouns), pick(places), verbs[0]];
  const [isPlural, others] = [random.below(2) === 1, random.below(2) === 1];
  const prompt = (own: boolean): string => `the ${plural(noun, own)} ${place} the ${plural(attractor, others)}`;
  return {
    prompt: prompt(isPlural),
    other: prompt(!isPlural),
    answer: verbOf(verb, isPlural),
    otherAnswer: verbOf(verb, !isPlural),
  };
}

function fact(at: number, random: ReturnType<typeof createRandom>): Pair {
  const other = (at + 1 + random.below(capitals.length - 1)) % capitals.length;
  const wording = wordings[random.below(wordings.length)];
  return {
    prompt: wording.replace("{s}", capitals[at][0]),
    other: wording.replace("{s}", capitals[other][0]),
    answer: capitals[at][1],
    otherAnswer: capitals[other][1],
  };
}

/** Sentences to train on, and pairs to patch; agreement and facts in equal numbers. */
export async function madePairs(sentences: number, pairs: number, seed: number): Promise<MadePairs> {
  const random = createRandom(seed, 1);
  const texts = shuffle(
    Array.from({ length: sentences }, (_, i) => {
      const { prompt, answer } = i % 2 === 0 ? agreement(random) : fact(random.below(capitals.length), random);
      if (i % 2 === 1) return [prompt, answer];
      const verb = verbs[random.below(verbs.length)];
      return [prompt, answer.endsWith("s") ? `${verb}s` : verb];
    }),
    random,
  );
  const chosen = Array.from({ length: pairs }, (_, i) =>
    i % 2 === 0 ? agreement(random) : fact((i >> 1) % capitals.length, random),
  );
  const tokenizer = await wordTokenizer([
    ...texts.flat(),
    ...chosen.flatMap(({ prompt, other, answer, otherAnswer }): string[] => [prompt, other, answer, otherAnswer]),
  ]);
  const ids = async (words: readonly string[]): Promise<Int32Array> =>
    Int32Array.from(await tokenizer.encode([...words]), ([id]) => id);
  const rows = async (each: readonly string[]): Promise<Instances> =>
    createInstances({ kind: "causalLM", rows: await tokenizer.encode([...each]) });
  return {
    tokenizer,
    train: await rows(texts.map((each) => each.join(" "))),
    prompts: await rows(chosen.map(({ prompt }) => prompt)),
    against: await rows(chosen.map(({ other }) => other)),
    answers: await ids(chosen.map(({ answer }) => answer)),
    otherAnswers: await ids(chosen.map(({ otherAnswer }) => otherAnswer)),
  };
}
