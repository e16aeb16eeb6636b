// Calls as such: abort, progress, several at once, closed models. Each is followed by a valid call.
import { join } from "node:path";
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { influence } from "../../lib/instance/influence";
import { representationSimilarity } from "../../lib/instance/representation-similarity";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { capture, readoutStates } from "../../lib/model/capture";
import { activation } from "../../lib/neuron/activation";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import type { CallOptions, Progress } from "../../types/common";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { midSizeConfig, midSizeInstances, midSizeModel } from "./mid-size";

const directory = scratch();
const [many, few] = [midSizeInstances(100), midSizeInstances(4)];
let model: Model;
let attribution: NeuronAttribution;
let before: Float32Array;
beforeAll(async () => {
  model = await midSizeModel();
  await saveModel(model, join(directory, "model"));
  attribution = await activation(model, many);
  before = (await evaluate(model, few, { logits: true })).logits!;
});
afterAll(() => model.close());

/** After whatever happened, the model answers as it did before: nothing is left of the call. */
async function expectUnchanged(): Promise<void> {
  expect((await evaluate(model, few, { logits: true })).logits).toEqual(before);
}

const one = { batchTokens: 1 };
const series = { parameters: ["score"], recursions: 5000, iterations: 5000, tolerance: 0, damping: 5, scale: 1000 };
/** Calls that take seconds when nobody stops them. */
const long: readonly (readonly [string, (options: CallOptions) => Promise<unknown>])[] = [
  ["evaluate", (call) => evaluate(model, many, { ...one, ...call })],
  ["capture", (call) => capture(model, many, { ...one, ...call, positions: "all" })],
  ["readoutStates", (call) => readoutStates(model, many, { ...one, ...call })],
  ["fineTune", (call) => fineTune(model, many, { ...call, epochs: 50, batchSize: 4, learningRate: 1e-4 })],
  ["integratedGradients", (call) => integratedGradients(model, many, { ...one, ...call })],
  [
    "integratedGradients by full forwards",
    (call) => integratedGradients(model, many, { ...one, ...call, engine: "full" }),
  ],
  ["gradientSimilarity", (call) => gradientSimilarity(model, many, many, { ...one, ...call, parameters: "linear" })],
  ["influence by cg", (call) => influence(model, many, few, { ...one, ...call, ...series, inverse: "cg" })],
  ["influence by lissa", (call) => influence(model, many, few, { ...one, ...call, ...series, inverse: "lissa" })],
  ["representationSimilarity", (call) => representationSimilarity(model, many, many, { ...one, ...call })],
  [
    "comprehensiveness",
    (call) => comprehensiveness(model, many, attribution, { ...one, ...call, r: [10, 100], controls: 20 }),
  ],
];

describe("an abort", () => {
  test.each([
    ...long,
    ["loadModel", (call: CallOptions) => loadModel(join(directory, "model"), call)],
    ["createModel", (call: CallOptions) => createModel(midSizeConfig, call)],
  ] as const)("before %s rejects at once with its reason", async (_name, call) => {
    const stop = new AbortController();
    stop.abort("enough");
    await expect(call({ signal: stop.signal })).rejects.toMatchObject({ ...refusal("aborted", /./), cause: "enough" });
    await expectUnchanged();
  });

  test.each(long)("during %s stops it within a batch, and leaves nothing behind", async (_name, call) => {
    const stop = new AbortController();
    const reports: Progress[] = [];
    const result = call({
      signal: stop.signal,
      onProgress: (progress) => {
        reports.push(progress);
        stop.abort("enough");
      },
    });
    await expect(result).rejects.toMatchObject({ ...refusal("aborted", /./), cause: "enough" });
    expect(reports[0].done).toBeLessThan(reports[0].total);
    expect(reports.at(-1)!.done).toBeLessThan(reports[0].total);
    await expectUnchanged();
  });

  test("of a queued call takes effect when its turn comes, and the call before it is not touched", async () => {
    const stop = new AbortController();
    const first = evaluate(model, few, { logits: true });
    const second = evaluate(model, few, { signal: stop.signal });
    stop.abort();
    await expect(second).rejects.toMatchObject(refusal("aborted", /./));
    expect((await first).logits).toEqual(before);
  });
});

describe("progress", () => {
  test("rises within a stage to its total, with a name", async () => {
    const reports: Progress[] = [];
    await evaluate(model, many, {
      ...one,
      onProgress: (progress) => {
        reports.push(progress);
      },
    });
    expect(reports.length).toBeGreaterThan(1);
    reports.forEach(({ done, total, stage }, i) => {
      expect(stage).not.toBe("");
      expect(done <= total && (i === 0 || stage !== reports[i - 1].stage || done >= reports[i - 1].done)).toBe(true);
    });
    expect(reports.at(-1)).toMatchObject({ done: reports.at(-1)!.total });
  });

  test.each(long)("of %s to a listener that throws rejects with what it threw, and stops", async (_name, call) => {
    const thrown = new Error("from the listener");
    let calls = 0;
    await expect(
      call({
        onProgress: () => {
          calls++;
          throw thrown;
        },
      }),
    ).rejects.toBe(thrown);
    expect(calls).toBe(1);
    await expectUnchanged();
  });

  test.each(long)("of %s to a listener whose promise rejects is as to one that throws", async (_name, call) => {
    const thrown = new Error("from the promise");
    await expect(call({ onProgress: () => Promise.reject(thrown) })).rejects.toBe(thrown);
    await expectUnchanged();
  });
});

describe("several calls at once on one model", () => {
  test("each give what they give alone", async () => {
    const scores = async () => (await gradientSimilarity(model, few, few)).scores;
    const neurons = async () => (await integratedGradients(model, few)).scores;
    const tuned = async () => {
      using other = await fineTune(model, few, { epochs: 1, batchSize: 2, learningRate: 1e-3 });
      return (await evaluate(other, few, { logits: true })).logits;
    };
    const logits = async () => (await evaluate(model, few, { logits: true })).logits;
    const alone = [await scores(), await neurons(), await tuned(), await logits()];
    const together = await Promise.all([scores(), neurons(), tuned(), logits(), scores(), logits()]);
    expect(together).toEqual([...alone, alone[0], alone[3]]);
  });

  test("fail alone", async () => {
    const wrong = integratedGradients(model, few, { of: [0, 1, 2, 9] });
    const right = evaluate(model, few, { logits: true });
    await expect(wrong).rejects.toMatchObject(refusal("invalid", /received 9/));
    expect((await right).logits).toEqual(before);
  });
});

describe("a closed model", () => {
  test("finishes the calls that wait, refuses new ones, and closes twice", async () => {
    const other = await loadModel(join(directory, "model"));
    const [running, waiting] = [evaluate(other, many), evaluate(other, few, { logits: true })];
    other.close();
    other.close();
    expect(other.closed).toBe(true);
    expect((await running).losses).toHaveLength(many.size);
    expect((await waiting).logits).toEqual(before);
    for (const call of [
      () => evaluate(other, few),
      () => capture(other, few),
      () => fineTune(other, few),
      () => integratedGradients(other, few),
      () => gradientSimilarity(other, few, few),
      () => influence(other, few, few),
      () => comprehensiveness(other, few, attribution, { r: [1] }),
      () => saveModel(other, join(directory, "closed")),
    ])
      await expect(call()).rejects.toMatchObject({
        name: "AttributionError",
        code: expect.stringMatching(/invalid|mismatch/),
      });
    await expect(evaluate(other, few)).rejects.toMatchObject(refusal("invalid", /closed/));
    await expectUnchanged();
  });

  test("is what `using` leaves, also when its block throws", async () => {
    let kept: Model | undefined;
    await expect(
      (async () => {
        using other = await loadModel(join(directory, "model"));
        kept = other;
        throw new Error("inside");
      })(),
    ).rejects.toThrow("inside");
    expect(kept!.closed).toBe(true);
  });
});
