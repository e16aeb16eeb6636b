// A call works on the instances as they were when it was made: its caller may change or give away their arrays meanwhile.
import { evaluate } from "../../lib/model/evaluate";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { refusal } from "../storage/refusal";
import { midSizeInstances, midSizeModel } from "./mid-size";

const arrays = ["tokens", "rowOffsets", "groupOffsets", "labels", "targets"] as const;
let model: Model;
beforeAll(async () => {
  model = await midSizeModel();
});
afterAll(() => model.close());

const ways: readonly [string, (instances: Instances) => void][] = [
  [
    "filled with other numbers",
    (instances) => {
      for (const name of arrays) instances[name].fill(0x7fffffff);
    },
  ],
  [
    "transferred to a worker",
    (instances) => {
      for (const name of arrays)
        if (instances[name].length > 0) structuredClone(null, { transfer: [instances[name].buffer as ArrayBuffer] });
    },
  ],
];

describe.each(ways)("instances %s", (_way, change) => {
  test("while their call waits in the queue change nothing of its result", async () => {
    const expected = (await evaluate(model, midSizeInstances(8))).losses;
    const instances = midSizeInstances(8);
    const before = evaluate(model, midSizeInstances(40));
    const call = evaluate(model, instances);
    change(instances);
    await before;
    expect((await call).losses).toEqual(expected);
  });

  test("by the progress listener of their call change nothing of its result", async () => {
    const expected = (await gradientSimilarity(model, midSizeInstances(12), midSizeInstances(3))).scores;
    const [train, queries] = [midSizeInstances(12), midSizeInstances(3)];
    let changes = 0;
    const scores = await gradientSimilarity(model, train, queries, {
      batchTokens: 1,
      onProgress: () => {
        if (changes++ === 0) [train, queries].forEach(change);
      },
    });
    expect(changes).toBeGreaterThan(0);
    scores.scores.forEach((score, i) => expect(score / expected[i]).toBeCloseTo(1, 4));
  });

  test("before their call are refused", async () => {
    const instances = midSizeInstances(8);
    change(instances);
    await expect(evaluate(model, instances)).rejects.toMatchObject(refusal("invalid", /instances/));
  });
});
