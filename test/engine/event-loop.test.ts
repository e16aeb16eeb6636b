// No call holds the event loop for longer than 20 ms, whatever the native thread does meanwhile.
import { join } from "node:path";
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { representationSimilarity } from "../../lib/instance/representation-similarity";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { capture } from "../../lib/model/capture";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { scratch } from "../storage/bytes";
import { longestHold, shortestHold } from "../data/event-loop";
import { midSizeInstances, midSizeModel } from "./mid-size";
import type { Model } from "../../types/model";

const directory = scratch();
const [many, few] = [midSizeInstances(60), midSizeInstances(4)];
let saves = 0;
let model: Model;
beforeAll(async () => {
  model = await midSizeModel();
  await saveModel(model, join(directory, "model"));
});
afterAll(() => model.close());

describe("the event loop stays free during", () => {
  test.each<[string, () => Promise<unknown>]>([
    ["createModel and close", async () => (await midSizeModel()).close()],
    ["loadModel and close", async () => (await loadModel(join(directory, "model"))).close()],
    [
      "loadModel with another type",
      async () => (await loadModel(join(directory, "model"), { dtype: "float64" })).close(),
    ],
    ["saveModel", () => saveModel(model, join(directory, `saved-${saves++}`))],
    ["evaluate with logits", () => evaluate(model, many, { logits: true })],
    ["capture at all positions", () => capture(model, many, { positions: "all" })],
    ["fineTune", async () => (await fineTune(model, few, { epochs: 2, batchSize: 2, evaluation: few })).close()],
    ["integratedGradients", () => integratedGradients(model, few)],
    ["gradientSimilarity", () => gradientSimilarity(model, many, few)],
    [
      "influence",
      () =>
        influence(model, few, few, {
          inverse: "cg",
          parameters: ["layers.3.mlp.down", "score"],
          damping: 10,
          iterations: 5,
          memory: "2 GB",
        }),
    ],
    ["representationSimilarity", () => representationSimilarity(model, many, few)],
    [
      "comprehensiveness",
      async () =>
        comprehensiveness(model, few, await integratedGradients(model, few, { nodes: 2 }), {
          r: [1, 100],
          controls: 5,
        }),
    ],
  ])("%s", async (_name, call) => {
    expect(await shortestHold(call)).toBeLessThan(longestHold);
  });

  test("nothing, while a call that holds it is found out", async () => {
    const held = await shortestHold(async () => {
      // In the measure's own terms: a busy machine may give this thread little of the clock's time.
      for (let sum = 0, start = process.cpuUsage(); process.cpuUsage(start).user < 60_000; sum++) Math.sqrt(sum);
    }, 2);
    expect(held).toBeGreaterThan(longestHold);
  });
});
