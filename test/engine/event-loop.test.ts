// No call holds the event loop for longer than 20 ms, whatever the native thread does meanwhile. Functions that return no promise
// are held to the same: a few thousand rows take less.
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
import { longestHold, shortestHold, worked } from "../data/event-loop";
import { type Call, everyCall, otherForms, publicFunctions, runCall } from "./every-call";
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

  // By the export list itself: a new function is measured on thousands of rows, unless it is listed here.
  describe("every public function:", () => {
    /** They train or run the model once per row or query. Their scores are few whatever the rows, so six rows are enough. */
    const slowByRow = ["removalCurve", "trainingInfluence", "selfInfluence of a model"];
    let [large, small]: ReadonlyMap<string, () => Call>[] = [];
    beforeAll(async () => {
      large = await everyCall(join(directory, "large"), { train: 2000, queries: 6, batchSize: 512 });
      small = await everyCall(join(directory, "small"));
    });

    test.each([...publicFunctions, ...otherForms])("%s", async (name) => {
      const make = (slowByRow.includes(name) ? small : large).get(name)!;
      const held = await shortestHold(() => runCall(name, make()));
      expect(held).toBeLessThan(longestHold);
    });
  });

  test("nothing, while a call that holds it is found out", async () => {
    const held = await shortestHold(async () => {
      // In the measure's own terms: neither the clock nor the process, whose other threads work too.
      for (let sum = 0, start = worked(); worked() - start < 60; sum++) Math.sqrt(sum);
    }, 2);
    expect(held).toBeGreaterThan(longestHold);
  });
});
