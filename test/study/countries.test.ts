// The claims about countries, and which of them are the truth of a query.
import { countryClaims } from "../../lib/study/claims/countries";
import { wordsOf, wordTokenizer } from "../../lib/study/claims/word-tokenizer";
import { relations } from "../../lib/study/claims/wordings";
import { chooseQueries, majorityShare, type StudyRow, truthOf } from "../../lib/study/rows";

const textOf = ({ fields }: StudyRow) => String(fields["claim"]);

describe("claims about countries", () => {
  const options = { seed: 42, countries: 45, wordings: 3 };
  const factOf = ({ fact, label }: StudyRow) => `${fact} ${label}`;

  test("no held-out claim stands in training, nor is any worded as a training claim", async () => {
    const { train, heldOut } = await countryClaims(options);
    const texts = new Set(train.map(textOf));
    expect(heldOut.filter((row) => texts.has(textOf(row)))).toEqual([]);
    for (const { wordings, heldOut: others } of relations)
      expect(others.filter((wording) => wordings.includes(wording))).toEqual([]);
  });

  test("each held-out claim has been stated in training in as many other wordings as asked for, with the same label", async () => {
    const { train, heldOut } = await countryClaims(options);
    const stated = new Map<string, Set<string>>();
    for (const row of train) stated.set(factOf(row), (stated.get(factOf(row)) ?? new Set()).add(textOf(row)));
    expect(heldOut.length).toBeGreaterThan(400);
    for (const row of heldOut) expect(stated.get(factOf(row))?.size).toBe(3);
  });

  test("labels are balanced, for every relation and on both sides", async () => {
    const { train, heldOut } = await countryClaims(options);
    for (const { name } of relations)
      for (const rows of [train, heldOut]) expect(majorityShare(rows.filter(({ group }) => group === name))).toBe(0.5);
  });

  test("what is claimed as refuted is never true of the country", async () => {
    const { train, outOfDistribution } = await countryClaims({ ...options, countries: 200 });
    const claimed = (rows: readonly StudyRow[], part: string) =>
      rows
        .filter(({ label, fact }) => label === 1 && fact === part)
        .map(textOf)
        .join(" ");
    expect(claimed(train, "language of Switzerland")).not.toMatch(/French|German|Italian|Romansh/);
    expect(claimed(train, "neighbour of Austria")).not.toMatch(
      /Germany|Italy|Hungary|Slovakia|Slovenia|Switzerland|Liechtenstein|Czechia/,
    );
    expect(claimed(outOfDistribution, "language of Switzerland")).not.toMatch(/French|German|Italian|Romansh/);
  });

  test("claims of another distribution pair a country with a value that training never claims of it", async () => {
    const { train, outOfDistribution } = await countryClaims(options);
    const texts = new Set(train.map(textOf));
    expect(outOfDistribution.length).toBeGreaterThan(150);
    expect(outOfDistribution.every(({ label }) => label === 1)).toBe(true);
    expect(outOfDistribution.filter((row) => texts.has(textOf(row)))).toEqual([]);
  });

  test("the same seed gives the same claims, another seed others", async () => {
    const texts = async (seed: number) => (await countryClaims({ ...options, seed })).train.map(textOf).join("\n");
    expect(await texts(42)).toBe(await texts(42));
    expect(await texts(42)).not.toBe(await texts(7));
  });

  test("the vocabulary of the training claims holds every word of the held-out ones, as the tokenizer cuts them", async () => {
    const { train, heldOut } = await countryClaims(options);
    const tokenizer = await wordTokenizer(train.map(textOf));
    const rows = await tokenizer.encode(heldOut.map(textOf));
    expect(rows.map((row) => row.length)).toEqual(heldOut.map((row) => wordsOf(textOf(row)).length));
    expect(rows.some((row) => row.includes(tokenizer.special.unk ?? -1))).toBe(false);
    tokenizer.close();
  });
});

describe("queries and truth", () => {
  const row = (id: string, fact: string | undefined, label: number): StudyRow => ({
    id,
    fields: { claim: id },
    label,
    ...(fact === undefined ? {} : { fact }),
  });
  const train = [row("a", "x", 0), row("b", "y", 0), row("c", "x", 1), row("d", undefined, 0)];

  test("truth is the training rows of the query's fact, and those of them with its label", () => {
    expect(truthOf(train, [row("q", "x", 1), row("r", "z", 0), row("s", undefined, 0)])).toEqual({
      sameFact: [[0, 2], [], []],
      sameClaim: [[2], [], []],
    });
    expect(truthOf(train, [row("r", "z", 0)])).toBeUndefined();
  });

  test("queries take the labels in turn and are all different", () => {
    const many = Array.from({ length: 30 }, (_, i) => row(String(i), undefined, i < 25 ? 0 : 1));
    const chosen = chooseQueries(many, 10, 42);
    expect(chosen.filter(({ label }) => label === 1)).toHaveLength(5);
    expect(new Set(chosen.map(({ id }) => id)).size).toBe(10);
    expect(chooseQueries(many, 99, 42)).toHaveLength(30);
    expect(chooseQueries(many, 10, 42)).toEqual(chosen);
  });
});
