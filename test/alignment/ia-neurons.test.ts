import type { TopInstances } from "../../types/store";
import { iaNeurons } from "../../lib/alignment/ia-neurons";
import { createRandom } from "../../lib/random";
import { top } from "../../lib/results/top";
import { instancesOf, neuronsOf, provenanceOf } from "../results/sample";
import { rejects } from "../results/refuses";

const random = createRandom(1);
const noise = (rows: number, columns: number) =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));

/** Definition, by sorting: Σ over the top instances of the scores of their top neurons. */
function bruteForce(
  influences: readonly number[],
  neurons: readonly (readonly number[])[],
  instances: number,
  count: number,
): number[] {
  const best = (row: readonly number[], k: number) =>
    row
      .map((_, index) => index)
      .sort((a, b) => row[b] - row[a] || a - b)
      .slice(0, k);
  const sums = neurons[0].map(() => 0);
  for (const instance of best(influences, instances)) {
    for (const neuron of best(neurons[instance], count)) sums[neuron] += Math.max(0, neurons[instance][neuron]);
  }
  return sums;
}

describe("IA-Neurons", () => {
  test("equals the definition computed by sorting", async () => {
    const [influences, neurons] = [noise(4, 30), noise(30, 24)];
    const aligned = await iaNeurons(instancesOf(influences), neuronsOf(neurons, 3));
    influences.forEach((row, query) => {
      bruteForce(row, neurons, 10, 5).forEach((sum, neuron) =>
        expect(aligned.scores[query * 24 + neuron]).toBeCloseTo(sum, 5),
      );
    });
    expect(aligned).toMatchObject({
      kind: "neurons",
      instances: 4,
      layers: 3,
      units: 8,
      instanceIds: ["q0", "q1", "q2", "q3"],
      site: "neurons",
    });
  });

  test("a neuron that several instances share counts once, with its scores added", async () => {
    const aligned = await iaNeurons(
      instancesOf([[3, 2, 1]]),
      neuronsOf(
        [
          [5, 1, 0, 0],
          [4, 0, 2, 0],
          [0, 0, 0, 9],
        ],
        2,
      ),
      { instances: 2, neurons: 2 },
    );
    expect([...aligned.scores]).toEqual([9, 1, 2, 0]);
  });

  test("neurons that lower the target are not taken", async () => {
    const aligned = await iaNeurons(instancesOf([[1]]), neuronsOf([[-1, 2]], 1));
    expect([...aligned.scores]).toEqual([0, 2]);
  });

  test("influence weighting multiplies by the attribution score and leaves out opponents", async () => {
    const aligned = await iaNeurons(
      instancesOf([[3, -2]]),
      neuronsOf(
        [
          [5, 0],
          [0, 4],
        ],
        1,
      ),
      { weighting: "influence" },
    );
    expect([...aligned.scores]).toEqual([15, 0]);
  });

  test("the paper's comparison takes the top neuron of the top instance", async () => {
    const aligned = await iaNeurons(
      instancesOf([[1, 3, 2]]),
      neuronsOf(
        [
          [9, 8],
          [1, 2],
          [7, 6],
        ],
        1,
      ),
      { preset: "paper" },
    );
    expect([...aligned.scores]).toEqual([0, 2]);
    expect(aligned.provenance.options).toMatchObject({
      preset: "paper",
      purpose: "comparison",
      instances: 1,
      neurons: 1,
    });
  });

  test("the paper's faithfulness takes the top neuron of each of the top 100 instances", async () => {
    const [influences, neurons] = [noise(1, 150), noise(150, 40)];
    const aligned = await iaNeurons(instancesOf(influences), neuronsOf(neurons, 2), {
      preset: "paper",
      purpose: "faithfulness",
    });
    bruteForce(influences[0], neurons, 100, 1).forEach((sum, neuron) =>
      expect(aligned.scores[neuron]).toBeCloseTo(sum, 4),
    );
  });

  test("says where it comes from", async () => {
    const aligned = await iaNeurons(instancesOf([[1]]), neuronsOf([[1]], 1));
    expect(aligned.provenance).toMatchObject({
      method: "iaNeurons",
      modelHash: "model",
      dataHashes: { queries: "q", train: "t" },
      options: {
        instances: 10,
        neurons: 5,
        sources: { instanceAttribution: { method: "influence" }, trainNeurons: { method: "integratedGradients" } },
      },
    });
    expect([...aligned.targetValues]).toEqual([NaN]);
    expect(top(aligned, 0, 1)).toEqual([{ index: 0, layer: 0, unit: 0, score: 1 }]);
  });

  test("other training instances, another order and another model are refused", async () => {
    const influences = instancesOf([[1, 2]]);
    await rejects(
      "mismatch",
      () => iaNeurons(influences, neuronsOf([[1]], 1)),
      /all 2 training instances but received 1 rows/,
    );
    await rejects(
      "mismatch",
      () => iaNeurons(influences, neuronsOf([[1], [2]], 1, { instanceIds: ["t1", "t0"] })),
      /row 0 .* "t0" but it is "t1"/,
    );
    const other = neuronsOf([[1], [2]], 1, { provenance: provenanceOf("integratedGradients", "other") });
    await rejects("mismatch", () => iaNeurons(influences, other), /one model/);
    expect((await iaNeurons(influences, other, { acrossModels: "allow" })).instances).toBe(1);
    expect((await iaNeurons({ ...influences, provenance: provenanceOf("bm25", "") }, other)).instances).toBe(1);
    expect(
      (await iaNeurons({ ...influences, provenance: provenanceOf("tracInCheckpoints", "first+other") }, other))
        .instances,
    ).toBe(1);
  });

  test("of the best instances alone equal those of the whole matrix; too few are refused", async () => {
    const whole = instancesOf([[1, 5, 3, 4]]);
    const best: TopInstances = {
      ...whole,
      kind: "topInstances",
      k: 2,
      indices: Int32Array.of(1, 3),
      scores: Float32Array.of(5, 4),
    };
    const neurons = neuronsOf(
      [
        [1, 2],
        [3, 4],
        [5, 6],
        [7, 8],
      ],
      1,
    );
    const options = { instances: 2, neurons: 1, weighting: "influence" } as const;
    expect((await iaNeurons(best, neurons, options)).scores).toEqual((await iaNeurons(whole, neurons, options)).scores);
    await rejects("mismatch", () => iaNeurons(best, neurons, { instances: 3 }), /topK: 3/);
  });

  test("NaN scores and options that are none are refused", async () => {
    await rejects("invalid", () => iaNeurons(instancesOf([[NaN]]), neuronsOf([[1]], 1)), /NaN/);
    await rejects("invalid", () => iaNeurons(instancesOf([[1]]), neuronsOf([[NaN]], 1)), /NaN/);
    await rejects("invalid", () => iaNeurons(instancesOf([[1]]), neuronsOf([[1]], 1), { instances: 0 }));
    await rejects("invalid", () => iaNeurons(instancesOf([[1]]), neuronsOf([[1]], 1), { preset: "other" as never }));
    await rejects(
      "unknown",
      () => iaNeurons(instancesOf([[1]]), neuronsOf([[1]], 1), { neuron: 1 } as never),
      /neuron/,
    );
  });
});
