import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseQueries, majorityShare, truthOf, type Claim } from "../../lib/cli/demo/claims";
import { countryClaims } from "../../lib/cli/demo/countries";
import { countrySize, countrySubject, type CountrySize } from "../../lib/cli/demo/country-subject";
import { ownClaims, ownSubject } from "../../lib/cli/demo/own-subject";
import { reportFile, reproducible, runDemo } from "../../lib/cli/demo/run";
import { wordsOf, wordTokenizer } from "../../lib/cli/demo/vocabulary";
import { relations } from "../../lib/cli/demo/wordings";
import { createModel } from "../../lib/model/create-model";
import { saveModel } from "../../lib/model/save-model";
import { rejects } from "../results/refuses";
import { quietSession } from "./quiet-session";
import type { Report, ReportTable } from "../../types/report";

const folder = mkdtempSync(join(tmpdir(), "demo-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("claims about countries", () => {
  const options = { seed: 42, countries: 45, wordings: 3 };
  const factOf = ({ fact, label }: Claim) => `${fact} ${label}`;

  test("no held-out claim stands in training, nor is any worded as a training claim", async () => {
    const { train, heldOut } = await countryClaims(options);
    const texts = new Set(train.map(({ text }) => text));
    expect(heldOut.filter(({ text }) => texts.has(text))).toEqual([]);
    for (const { wordings, heldOut: others } of relations)
      expect(others.filter((wording) => wordings.includes(wording))).toEqual([]);
  });

  test("each held-out claim has been stated in training in as many other wordings as asked for, with the same label", async () => {
    const { train, heldOut } = await countryClaims(options);
    const stated = new Map<string, Set<string>>();
    for (const claim of train) stated.set(factOf(claim), (stated.get(factOf(claim)) ?? new Set()).add(claim.text));
    expect(heldOut.length).toBeGreaterThan(400);
    for (const claim of heldOut) expect(stated.get(factOf(claim))?.size).toBe(3);
  });

  test("labels are balanced, for every relation and on both sides", async () => {
    const { train, heldOut } = await countryClaims(options);
    for (const { name } of relations)
      for (const claims of [train, heldOut])
        expect(majorityShare(claims.filter(({ group }) => group === name))).toBe(0.5);
  });

  test("what is claimed as refuted is never true of the country", async () => {
    const { train } = await countryClaims({ ...options, countries: 200 });
    const claimed = (part: string) =>
      train
        .filter(({ label, fact }) => label === 1 && fact === part)
        .map(({ text }) => text)
        .join(" ");
    expect(claimed("language of Switzerland")).not.toMatch(/French|German|Italian|Romansh/);
    expect(claimed("neighbour of Austria")).not.toMatch(
      /Germany|Italy|Hungary|Slovakia|Slovenia|Switzerland|Liechtenstein|Czechia/,
    );
    expect(
      train
        .filter(({ label, fact }) => label === 0 && fact === "capital of France")
        .every(({ text }) => text.includes("Paris")),
    ).toBe(true);
  });

  test("the same seed gives the same claims, another seed others", async () => {
    const texts = async (seed: number) =>
      (await countryClaims({ ...options, seed })).train.map(({ text }) => text).join("\n");
    expect(await texts(42)).toBe(await texts(42));
    expect(await texts(42)).not.toBe(await texts(7));
  });

  test("the vocabulary of the training claims holds every word of the held-out ones, as the tokenizer cuts them", async () => {
    const { train, heldOut } = await countryClaims(options);
    const tokenizer = await wordTokenizer(train.map(({ text }) => text));
    const rows = await tokenizer.encode(heldOut.map(({ text }) => text));
    expect(rows.map((row) => row.length)).toEqual(heldOut.map(({ text }) => wordsOf(text).length));
    expect(rows.some((row) => row.includes(tokenizer.special.unk ?? -1))).toBe(false);
    tokenizer.close();
  });
});

describe("queries and truth", () => {
  const claim = (id: string, fact: string | undefined, label: number): Claim => ({
    id,
    text: id,
    label,
    ...(fact === undefined ? {} : { fact }),
  });
  const train = [claim("a", "x", 0), claim("b", "y", 0), claim("c", "x", 1), claim("d", undefined, 0)];

  test("truth is the training claims of the query's fact, and those of them with its label", () => {
    expect(truthOf(train, [claim("q", "x", 1), claim("r", "z", 0), claim("s", undefined, 0)])).toEqual({
      sameFact: [[0, 2], [], []],
      sameClaim: [[2], [], []],
    });
    expect(truthOf(train, [claim("r", "z", 0)])).toBeUndefined();
  });

  test("queries take the labels in turn and are all different", () => {
    const many = Array.from({ length: 30 }, (_, i) => claim(String(i), undefined, i < 25 ? 0 : 1));
    const chosen = chooseQueries(many, 10, 42);
    expect(chosen.filter(({ label }) => label === 1)).toHaveLength(5);
    expect(new Set(chosen.map(({ id }) => id)).size).toBe(10);
    expect(chooseQueries(many, 99, 42)).toHaveLength(30);
    expect(chooseQueries(many, 10, 42)).toEqual(chosen);
  });
});

const tiny: CountrySize = {
  countries: 4,
  wordings: 2,
  hidden: 16,
  layers: 2,
  heads: 2,
  intermediate: 16,
  epochs: 2,
  queries: 6,
  recipe: {
    ...countrySize.recipe,
    influences: [
      { inverse: "cg", parameters: "head", damping: 0.01, words: "CG, head" },
      { inverse: "ekfac", parameters: "linear", words: "EK-FAC" },
    ],
    trainNodes: 4,
    neuronSizes: [1, 4, 16],
    headSizes: [1, 2],
    controls: 2,
    tuningTest: { fractions: [0.5], seeds: [42] },
    cards: 2,
    conflicts: 2,
  },
};

async function tinyRun(
  seed: number,
  out: string,
): Promise<{ report: Report; written: string; outcomes: ReadonlyMap<string, string | undefined> }> {
  const { session, written, outcomes } = quietSession(seed);
  return { report: await runDemo(session, await countrySubject(session, tiny), out), written: written(), outcomes };
}

describe("a run of the demo", () => {
  test("writes a report with every section, and the same tables to the terminal", async () => {
    const { report, written } = await tinyRun(42, join(folder, "first"));
    const page = readFileSync(join(folder, "first", "index.html"), "utf8");
    const titles = [
      "What the model learned",
      "fact tracing",
      "Which neurons",
      "Which attention heads",
      "Where in the network",
      "instances and neurons agree",
      "How varied",
      "Fine-tuning test",
      "Where the two views part",
      "Queries in full",
    ];
    for (const title of titles) expect(report.sections.some((section) => section.title.includes(title))).toBe(true);
    for (const words of [
      "Random",
      "BM25",
      "from a store",
      "NA-Instances",
      "IA-Neurons",
      "Sufficiency",
      "Comprehensiveness",
      "most influential",
      "about the same fact",
    ])
      expect(page).toContain(words);
    expect(page).not.toMatch(/<script|undefined|NaN/);
    expect(written).toContain("Recall@10 and mean reciprocal rank");
    expect(written).toContain(`Report: ${join(folder, "first", "index.html")}`);
  });

  test("builds a gradient store and says its rows, bytes and the time of the queries; nothing of it stays", async () => {
    const stores = () => readdirSync(tmpdir()).filter((name) => name.startsWith("attribution-demo-"));
    const before = stores();
    const { outcomes } = await tinyRun(42, join(folder, "store.html"));
    expect(outcomes.get("Gradient store: built, then asked")).toMatch(
      /^\d+ rows of 2048 features, \d+\.\d MB; 6 queries answered in \d+\.\d\d s$/,
    );
    expect(stores().filter((name) => !before.includes(name))).toEqual([]);
  });

  test("gives the same numbers for the same seed and others for another", async () => {
    const [first, again, other] = [
      await tinyRun(42, join(folder, "a.html")),
      await tinyRun(42, join(folder, "b.html")),
      await tinyRun(7, join(folder, "c.html")),
    ];
    expect(reproducible(again.report)).toEqual(reproducible(first.report));
    expect(reproducible(other.report)).not.toEqual(reproducible(first.report));
  });

  test("random rankings find the true claims about as often as chance", async () => {
    const { report } = await tinyRun(42, join(folder, "d.html"));
    const table = report.sections
      .flatMap(({ blocks }) => blocks)
      .find((block): block is ReportTable => block.kind === "table" && block.caption.startsWith("Recall@10"));
    const random = table?.rows.find(([name]) => name === "Random")?.[3] as { mean: number };
    expect(Math.abs(random.mean - 10 / 80)).toBeLessThan(0.25);
  });
});

describe("one's own model and claims", () => {
  const lines = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      JSON.stringify({
        claim: `The ${["red", "blue"][i % 2]} thing number ${["one", "two", "three"][i % 3]} is ${["new", "old"][(i >> 1) % 2]}.`,
        label: ["no", "yes"][i % 2],
        ...(i % 4 === 0 ? { evidence: "It says so" } : {}),
      }),
    ).join("\n");
  const file = join(folder, "claims.jsonl");

  test("run through the same stages, without a recall table where no facts are known", async () => {
    writeFileSync(file, lines(40));
    const tokenizer = await wordTokenizer([
      "Claim : The red blue thing number one two three is new old . / Evidence : It says so / Answer :",
    ]);
    const directory = join(folder, "model");
    using model = await createModel(
      {
        model_type: "llama",
        vocab_size: tokenizer.size,
        hidden_size: 16,
        intermediate_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
      },
      { tokenizer },
    );
    await saveModel(model, directory);
    const { session, written } = quietSession(42);
    const subject = await ownSubject(session, {
      model: directory,
      data: file,
      epochs: 1,
      learningRate: 1e-3,
      batchSize: 8,
      queries: 4,
      tuningTest: false,
    });
    expect([subject.train.size, subject.heldOut.size, subject.queries.size]).toEqual([32, 8, 4]);
    const report = await runDemo(session, subject, join(folder, "own"));
    expect(report.sections.map(({ title }) => title).join()).not.toMatch(/tracing|Fine-tuning test/);
    expect(report.sections.map(({ title }) => title)).toContain("Queries in full");
    expect(written()).not.toContain("Recall@10");
  });

  test.each([
    ["too few claims", lines(6), "invalid", /has 6 labelled claims; at least 10/],
    ["one label only", '{"claim": "a", "label": "x"}\n'.repeat(12), "invalid", /at least two different labels/],
  ] as const)("refuse %s", async (_, content, code, words) => {
    const path = join(folder, "bad.jsonl");
    writeFileSync(path, content);
    await rejects(code, () => ownClaims({ data: path }, 42), words);
  });
});

test("a report's path ends in .html or names a folder", () => {
  expect([reportFile("a/"), reportFile("a.html")]).toEqual(["a/index.html", "a.html"]);
});
