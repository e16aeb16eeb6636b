// Instances on which a model overflows: evaluate() gives NaN for them alone, everything else that runs a model refuses them by name.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as attribution from "../../lib";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { everyCall, type Call } from "./every-call";

/** They read no model, or only what a model that is finite has made. */
const withoutForward = new Set([
  ...["encode", "saveModel", "estimateNeuronMemory", "planGradientStore", "bm25", "randomInstances", "wordTargets"],
  ...["appendToGradientStore", "queryFeatures", "projectedGaussNewton", "dataInf", "trak"],
]);
/** They take a result that no method gives for such instances, and refuse one of others. */
const ofResults = new Set([
  ...["breakdown", "breakdown of checkpoints", "comprehensiveness", "sufficiency", "deletion", "insertion"],
  ...["fineTuningTest", "removalCurve", "unitRemovalCurve", "tailPatch", "jointAttribution", "circuit", "circuitCurve"],
]);
const config = { model_type: "gpt2", vocab_size: 300, n_positions: 32, n_embd: 8, n_layer: 2, n_head: 2 };
const bad = 1;

let directory: string;
let calls: ReadonlyMap<string, () => Call>;
let broken: Model;
let brokenFolder: string;
let brokenLanguageModel: Model;

/** The model's folder with position 3 far beyond what float32 can square. */
function breakPosition(folder: string): void {
  const path = join(folder, "model.safetensors");
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, { data_offsets: [number, number] }>;
  const [first] = header["transformer.wpe.weight"].data_offsets;
  for (let i = 3 * 8; i < 4 * 8; i++) bytes.writeFloatLE(3e38, start + first + 4 * i);
  writeFileSync(path, bytes);
}

/** Rows of 3, 4 and 2 tokens: the second one reaches position 3. */
function rowsOf(kind: "classification" | "causalLM", order = [0, 1, 2]): Instances {
  const rows = [
    [1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
  ];
  return attribution.createInstances({
    kind,
    rows: order.map((i) => rows[i]),
    ...(kind === "classification" ? { labels: order.map((i) => i % 2) } : {}),
  });
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "attribution-not-finite-"));
  calls = await everyCall(directory);
  const [, , epochs] = calls.get("tracInCheckpoints")!();
  expect(epochs).toBeDefined();
  const [[epoch]] = calls.get("tracInCheckpoints")!() as readonly [readonly string[]];
  brokenFolder = join(directory, "broken");
  cpSync(epoch, brokenFolder, { recursive: true });
  breakPosition(brokenFolder);
  broken = await attribution.loadModel(brokenFolder);
  const plain = await attribution.createModel(config);
  await attribution.saveModel(plain, join(directory, "broken-lm"));
  breakPosition(join(directory, "broken-lm"));
  brokenLanguageModel = await attribution.loadModel(join(directory, "broken-lm"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

const isModel = (value: unknown): value is Model =>
  typeof value === "object" && value !== null && "architecture" in value;
const isInstances = (value: unknown): value is Instances =>
  typeof value === "object" && value !== null && "rowOffsets" in value;
const isFolders = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string");

/** The call with the model that overflows and rows on which it does. */
function overflowing(call: Call): Call {
  return call.map((value) => {
    if (isModel(value)) return value.labels.length > 0 ? broken : brokenLanguageModel;
    if (isInstances(value)) return rowsOf(value.kind === "causalLM" ? "causalLM" : "classification");
    return isFolders(value) ? [brokenFolder] : value;
  });
}

describe("evaluate", () => {
  test.each(["classification", "causalLM"] as const)("gives NaN for the row alone, of a %s head", async (kind) => {
    const model = kind === "causalLM" ? brokenLanguageModel : broken;
    const together = await attribution.evaluate(model, rowsOf(kind), { logits: true });
    expect(Array.from(together.losses, Number.isNaN)).toEqual([false, true, false]);
    expect(Array.from(together.probabilities, Number.isNaN)).toEqual([false, true, false]);
    expect(together.predictions[bad]).toBe(-1);
    expect(together.meanLoss).toBeNaN();
    for (const i of [0, 2]) {
      const alone = await attribution.evaluate(model, rowsOf(kind, [i]), { logits: true });
      expect(together.losses[i]).toBeCloseTo(alone.losses[0], 5);
      expect(together.predictions[i]).toBe(alone.predictions[0]);
    }
  });
});

test("every other function that runs a model refuses the row by its index", async () => {
  const found: Record<string, string> = {};
  const wanted: Record<string, string> = {};
  for (const [name, make] of calls) {
    const call = make();
    const runs = call.some((value) => isModel(value) || isFolders(value)) && call.some(isInstances);
    if (!runs || name === "evaluate" || withoutForward.has(name) || ofResults.has(name)) continue;
    // The one left out is instance 0: the one that overflows is then the first.
    wanted[name] = `instance ${name === "leaveOneOutOutputs" ? 0 : bad} is not finite`;
    const run = (attribution as unknown as Record<string, (...args: Call) => unknown>)[name.split(" ")[0]];
    found[name] = await outcome(() => run(...overflowing(call)));
  }
  expect(found).toEqual(wanted);
  expect(Object.keys(found).length).toBeGreaterThan(25);
});

async function outcome(run: () => unknown): Promise<string> {
  try {
    const result: unknown = await run();
    if (typeof result === "object" && result !== null && Symbol.asyncIterator in result)
      for await (const _ of result as AsyncIterable<unknown>) continue;
    return "returned";
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const [, instance] = /not finite for instance (\d):/.exec(message) ?? [];
    return code === "invalid" && instance !== undefined ? `instance ${instance} is not finite` : `${code}: ${message}`;
  }
}
