// study.json: what it may say, in one definition; the presets and the published schema.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { definitionJsonSchema, parseDefinition } from "../../lib/study/definition";
import { findStudy, presetNames } from "../../lib/study/presets";
import { rejects } from "../results/refuses";

const root = resolve(__dirname, "../..");
const least = {
  name: "least",
  models: [{ name: "m", path: "models/m" }],
  data: [{ name: "d", format: "jsonl", path: "d.jsonl" }],
  instanceMethods: [{ name: "Gradient", method: "gradientSimilarity" }],
  neuronMethods: [{ name: "IG", method: "integratedGradients" }],
};

test("the least study has defaults", () => {
  expect(parseDefinition(least, "s")).toMatchObject({
    tests: { sizes: [1, 2, 5, 10, 20, 50, 100], controls: 10, sanity: true },
    seed: 42,
    seeds: [42, 60, 73],
    data: [{ queries: 40 }],
  });
});

test.each([
  [
    "an unknown method",
    { instanceMethods: [{ name: "x", method: "influnce" }] },
    "invalid",
    /"instanceMethods\[0\].method"/,
  ],
  ["an unknown key", { modles: [] }, "invalid", /modles/],
  ["a model without a source", { models: [{ name: "m" }] }, "invalid", /needs either "path" or "create"/],
  ["no data", { data: [] }, "invalid", /"data"/],
  [
    "a name that is there twice",
    { models: [least.models[0], least.models[0]] },
    "invalid",
    /two of "models" are called "m"/,
  ],
  ["a share beyond 1", { tests: { fineTuning: { fractions: [1.5] } } }, "invalid", /"tests.fineTuning.fractions\[0\]"/],
  [
    "a tested method that there is none of",
    { tests: { fineTuning: { methods: ["y"] } } },
    "unknown",
    /there are Gradient, NA-Instances/,
  ],
] as const)("%s is refused by its place", async (_, change, code, words) => {
  await rejects(code, async () => parseDefinition({ ...least, ...change }, "s.json"), words);
});

test.each(presetNames)("the preset %s is a study", async (name) => {
  const { definition } = await findStudy(name);
  expect(definition.name).toBe(name);
});

test("a study that is not there is refused with the presets' names", async () => {
  await rejects("missing", () => findStudy("no/such"), /small\/claims/);
});

test("the published schema is the definition's", () => {
  expect(JSON.parse(readFileSync(join(root, "studies/study.schema.json"), "utf8"))).toEqual(definitionJsonSchema());
});
