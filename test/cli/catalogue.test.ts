// The catalogue of public functions: made from the doc comments, complete over the exports.
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import * as attribution from "../../lib";
import type { FunctionEntry } from "../../lib/cli/catalogue";
import { instanceMethodNames, neuronMethodNames } from "../../lib/study/methods";

const script = resolve(__dirname, "../../docs/catalogue.mjs");
const entries = JSON.parse(
  execFileSync(process.execPath, [script, "--print"], { encoding: "utf8" }),
) as FunctionEntry[];
const named = (name: string) => entries.find((entry) => entry.name === name);

test("every public function is in it, and says what it means", () => {
  const functions = Object.keys(attribution).filter((name) => /^[a-z]/.test(name));
  expect(entries.map(({ name }) => name).sort()).toEqual(functions.sort());
  expect(entries.filter(({ meaning }) => meaning.length < 20).map(({ name }) => name)).toEqual([]);
});

test("every attribution method says its cost", () => {
  const names = [...instanceMethodNames, ...neuronMethodNames].filter((name) => name !== "randomInstances");
  expect(names.filter((name) => named(name)?.cost === undefined)).toEqual([]);
});

test("an option has its type, its choices and its default", () => {
  const option = (method: string, name: string) => named(method)?.options.find((each) => each.name === name);
  expect(option("influence", "inverse")).toMatchObject({
    kind: "choice",
    choices: ["cg", "lissa", "arnoldi", "ekfac", "identity"],
    default: '"cg"',
  });
  expect(option("fineTune", "learningRate")).toMatchObject({ kind: "number", default: "1e-5" });
  expect(option("integratedGradients", "site")).toMatchObject({
    kind: "choice",
    choices: ["neurons", "heads", "both"],
  });
  expect(option("sufficiency", "r")).toMatchObject({ kind: "numbers" });
  expect(named("influence")).toMatchObject({
    unit: "nats per unit of weight.",
    sign: expect.stringContaining("proponent"),
  });
});

test("options that extend or leave out others' are whole", () => {
  const names = (method: string) => named(method)?.options.map(({ name }) => name);
  expect(names("gradientSimilarity")).toEqual(
    expect.arrayContaining(["similarity", "parameters", "batchTokens", "memory"]),
  );
  expect(names("gradientSimilarity")).not.toContain("signal");
  expect(names("fineTune")).not.toContain("evaluation");
});
