// Budgets of the methods over gradients: kept while running, at three sizes each, and refused where they cannot hold the least.
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { selfInfluence } from "../../lib/instance/self-influence";
import { expectWithinBudget } from "../engine/peak-of-child";
import { refusal } from "../storage/refusal";
import { type GoldenPair, goldenPair } from "./golden-pair";

let pair: GoldenPair;
beforeAll(async () => {
  pair = await goldenPair("float32");
});
afterAll(() => pair.model.close());

describe("a budget that cannot hold the least is refused in words", () => {
  const call = { parameters: "linear" } as const;
  test.each([
    ["gradientSimilarity", () => gradientSimilarity(pair.model, pair.train, pair.queries, { ...call, memory: 1 })],
    ...(["cg", "lissa", "arnoldi", "ekfac", "identity"] as const).map(
      (inverse) =>
        [
          inverse,
          () => influence(pair.model, pair.train, pair.queries, { ...call, inverse, scale: 1e3, memory: "1 kb" }),
        ] as const,
    ),
    ["selfInfluence", () => selfInfluence(pair.model, pair.train, { ...call, memory: "1 kb" })],
  ] as const)("%s", async (_name, run) => {
    await expect(run()).rejects.toMatchObject(refusal("memory", /take \d+ [KM]B, but the budget of .*raise "memory"/));
    const few = selectInstances(pair.train, [0, 1]);
    expect((await gradientSimilarity(pair.model, few, pair.queries, call)).train).toBe(2); // a valid call works
  });
});

const works = [
  "similarity",
  "cg",
  "cached",
  "lissa",
  "arnoldi",
  "ekfac",
  "fitEkfac",
  "self",
  "parts",
  "trak",
  "gaussNewton",
  "dataInf",
  "selfStore",
] as const;

/** Each method at one of the budgets; all three with ATTRIBUTION_ALL_BUDGETS=1, in some minutes. */
const budgets = [128, 256, 512];
const cases = works.flatMap((work, at) =>
  budgets
    .filter((_, of) => process.env["ATTRIBUTION_ALL_BUDGETS"] === "1" || of === at % 3)
    .map((mb) => [work, mb] as const),
);

test.each(cases)(
  "peak memory of %s above the loaded model stays within %d MB and a tenth, kernels that libtorch compiles aside",
  (work, budget) => {
    expectWithinBudget(join(__dirname, "peak-memory.ts"), work, budget);
  },
  300_000,
);
