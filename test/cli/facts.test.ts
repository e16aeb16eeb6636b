// The facts demo end to end on a tiny model that was trained on seven facts; and what units write, against the plain computation.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keep } from "../../lib/cli/facts/asking";
import { factsDemo } from "../../lib/cli/facts/facts";
import type { FactsSize } from "../../lib/cli/facts/findings";
import { asked, countryQuiz, type Quiz } from "../../lib/cli/facts/questions";
import { placeOf, randomLike } from "../../lib/neuron/random-units";
import { wordTokenizer } from "../../lib/study/claims/word-tokenizer";
import { createInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import { fineTune } from "../../lib/model/fine-tune";
import { createRandom } from "../../lib/random";
import type { Model } from "../../types/model";
import { refusal } from "../storage/refusal";
import { quietSession } from "./quiet-session";

const quiz: Quiz = {
  origin: "seven facts made for the test",
  start: "",
  relations: [
    {
      name: "capital",
      phrasings: ["The capital of {s} is", "{s} is governed from", "The government of {s} sits in"],
      reversed: "{o} is the capital of",
    },
    { name: "language", phrasings: ["People in {s} speak", "The language of {s} is", "In {s} one speaks"] },
  ],
  facts: [
    ...[
      ["France", "Paris"],
      ["Japan", "Tokyo"],
      ["Egypt", "Cairo"],
      ["Peru", "Lima"],
    ].map(([subject, answer]) => ({
      id: `capital of ${subject}`,
      subject,
      relation: 0,
      answer,
      synonym: `the ${subject}`,
    })),
    ...[
      ["Chile", "Spanish"],
      ["Brazil", "Portuguese"],
      ["Iran", "Persian"],
    ].map(([subject, answer]) => ({ id: `language of ${subject}`, subject, relation: 1, answer })),
  ],
};
const size: FactsSize = {
  keeping: { facts: 3, negatives: 2, enough: 2, keptOut: 1 },
  nodes: 4,
  refining: { fractionOfMaximum: 0.1, share: 0.5, most: 4, specificFraction: 0.01, negativeFraction: 0.3 },
  top: 5,
  tokens: 3,
  controls: 2,
  curves: { neurons: [1, 5], heads: [1, 2], controls: 2 },
};

let base: Model;
let model: Model;
beforeAll(async () => {
  const claims = quiz.facts.flatMap((fact) =>
    quiz.relations[fact.relation].phrasings.map((_, phrasing) => [asked(quiz, fact, phrasing), fact.answer]),
  );
  const tokenizer = await wordTokenizer(claims.flat());
  base = await createModel(
    {
      model_type: "llama",
      vocab_size: tokenizer.size,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      max_position_embeddings: 16,
      initializer_range: 0.1,
    },
    { tokenizer, seed: 1 },
  );
  const labels = (await tokenizer.encode(claims.map(([, answer]) => answer))).map(([id]) => id);
  const train = createInstances({
    kind: "causalLM",
    rows: await tokenizer.encode(claims.map(([question]) => question)),
    labels,
  });
  model = await fineTune(base, train, { epochs: 60, batchSize: 3, learningRate: 5e-3, keep: "last" });
});
afterAll(() => [base, model].forEach((each) => each.close()));

test("tables and report of the facts, the same for the same seed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "facts-"));
  const run = async (): Promise<string> => {
    const { session, written } = quietSession(7);
    await factsDemo(session, { model, modelName: "Tiny", quiz, size }, directory);
    return written().replace(/\nTime: [\s\S]*$/, "");
  };
  const text = await run();
  for (const words of [
    "Facts known",
    "Refined and specific units",
    "specific, suppressed",
    "Without the specific ones",
    "specific neurons",
    "its phrasings kept out",
    "the subject's other name",
    "the fact the other way round",
    "Only less probable",
    "other facts, same relation",
    "other facts, other relation",
    "What does it say without them?",
    "Random units",
    "two phrasings of one fact",
    "Pushes up",
  ])
    expect(text).toContain(words);
  expect(text).not.toMatch(/NaN|undefined/);
  expect(readFileSync(join(directory, "index.html"), "utf8")).toContain("Where Tiny keeps what it knows");
  expect(await run()).toEqual(text);
  rmSync(directory, { recursive: true });
});

test("a model that knows nothing is told so", async () => {
  const { session } = quietSession(7);
  const unknown = { ...quiz, facts: quiz.facts.map((fact) => ({ ...fact, answer: "capital" })) };
  await expect(factsDemo(session, { model, modelName: "Tiny", quiz: unknown, size }, "unused")).rejects.toMatchObject(
    refusal("missing", /knows 0 of 7 facts/),
  );
});

test("known facts are attributed, compared with or left to test on, the relations taking turns", () => {
  const right = quiz.facts.map(() => [true, true, true]);
  const answers = {
    questions: createInstances({ kind: "causalLM", rows: [[1]] }),
    right,
    first: quiz.facts.map((_, fact) => 3 * fact),
    wholeAnswers: 7,
  };
  const { facts, negatives, unseen } = keep(quiz, answers, size.keeping, 5);
  expect([facts, negatives, unseen].map((part) => part.map(({ relation }) => relation))).toEqual([
    [0, 1, 0],
    [1, 0],
    [1, 0],
  ]);
  expect(new Set([...facts, ...negatives, ...unseen].map(({ id }) => id)).size).toBe(7);
  for (const { keptOut, refining } of [...facts, ...unseen])
    expect([keptOut.length, refining.length, new Set([...keptOut, ...refining]).size]).toEqual([1, 2, 3]);
  right[0] = [true, false, false];
  expect(keep(quiz, answers, size.keeping, 5).unseen).toHaveLength(1);
});

test("random units are others of the same layers and sites", () => {
  const shape = { intermediate: 24, heads: 4 };
  const chosen = [0, 5, 24, 28 + 3, 28 + 26];
  const drawn = Array.from(randomLike(shape, chosen, createRandom(1)));
  const places = (units: readonly number[]) =>
    units
      .map((unit) => placeOf(shape, unit))
      .map(({ site, layer }) => `${site} ${layer}`)
      .sort();
  expect(places(drawn)).toEqual(places(chosen));
  expect(new Set([...drawn, ...chosen]).size).toBe(10);
});

test("the countries' questions", async () => {
  const { facts } = await countryQuiz(40);
  expect(facts).toContainEqual({
    id: "capital of China",
    subject: "China",
    relation: 0,
    answer: "Beijing",
    synonym: "the People's Republic of China",
  });
  expect(facts.some(({ subject, answer }) => subject.includes(answer))).toBe(false);
});
