import { createInstances } from "../../lib/data/instances";
import { representationSimilarity } from "../../lib/instance/representation-similarity";
import { readoutStates } from "../../lib/model/capture";
import { refusal } from "../storage/refusal";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";

/** Sums of float32 states in doubles. */
const tolerance = 1e-6;

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, value, k) => sum + value * y[k], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

describe("representation similarity", () => {
  test.each(["llama", "opt-classification", "gpt-neox-choice"])(
    "of %s is the cosine of mean readout states",
    async (name) => {
      using model = await open(name);
      const kind = model.architecture.head.kind;
      const [train, queries] = [raggedInstances(kind, 5), raggedInstances(kind, 2)];
      const means = async (instances: typeof train) => {
        const states = await readoutStates(model, instances);
        const width = states.length / (instances.rowOffsets.length - 1);
        return Array.from({ length: instances.size }, (_, i) => {
          const [begin, end] = [instances.groupOffsets[i], instances.groupOffsets[i + 1]];
          return Array.from({ length: width }, (_, k) => {
            let sum = 0;
            for (let row = begin; row < end; row++) sum += states[row * width + k];
            return sum / (end - begin);
          });
        });
      };
      const [trainMeans, queryMeans] = [await means(train), await means(queries)];
      const result = await representationSimilarity(model, train, queries);
      expect([result.queries, result.train]).toEqual([2, 5]);
      expect(
        relativeDifference(
          result.scores,
          queryMeans.flatMap((q) => trainMeans.map((z) => cosine(q, z))),
        ),
      ).toBeLessThan(tolerance);
    },
  );

  test("looks at no label, and an instance is like itself", async () => {
    using model = await open("opt-classification");
    const rows = [
      [5, 6, 7],
      [8, 9],
    ];
    const labelled = createInstances({ kind: "classification", rows, labels: [0, 1] });
    const other = createInstances({ kind: "classification", rows, labels: [2, -1] });
    const { scores } = await representationSimilarity(model, labelled, labelled);
    expect((await representationSimilarity(model, other, labelled)).scores).toEqual(scores);
    expect(scores[0]).toBeCloseTo(1, 6);
    expect(scores[1]).toBeLessThan(0.9999);
  });

  test("refuses a misspelt option", async () => {
    using model = await open("opt-classification");
    const instances = raggedInstances("classification");
    await expect(
      representationSimilarity(model, instances, instances, { batchToken: 1 } as never),
    ).rejects.toMatchObject(refusal("unknown", /"batchToken"/));
  });
});
