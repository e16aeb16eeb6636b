// Tests that tune models on parts of the training set, on a tiny classifier whose label is written in a token.
import { leaveOneOutCorrelation, linearDatamodelingScore } from "../../lib/analysis/linear-datamodeling-score";
import { mislabelDetection } from "../../lib/analysis/mislabel-detection";
import { createInstances, selectInstances } from "../../lib/data/instances";
import { removalCurve } from "../../lib/faithfulness/removal-curve";
import { joinSubsetOutputs, leaveOneOutOutputs, subsetOutputs } from "../../lib/faithfulness/subset-outputs";
import { tailPatch } from "../../lib/faithfulness/tail-patch";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { randomInstances } from "../../lib/instance/random";
import { createModel } from "../../lib/model/create-model";
import { fineTune } from "../../lib/model/fine-tune";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import { refusal } from "../storage/refusal";

const config = {
  model_type: "opt",
  vocab_size: 40,
  hidden_size: 16,
  num_hidden_layers: 1,
  ffn_dim: 32,
  num_attention_heads: 2,
  max_position_embeddings: 32,
  word_embed_proj_dim: 16,
  dropout: 0,
  pad_token_id: 1,
  bos_token_id: 2,
  eos_token_id: 2,
};
const tuning = { epochs: 6, batchSize: 4, learningRate: 3e-3, dropout: false } as const;

let base: Model;
let tuned: Model;
let train: Instances;
let queries: Instances;
let similarity: InstanceAttribution;

/** The last token but one says the class. Each query has its own token; four training instances have it. */
const row = (token: number, i: number) => [4 + (i % 5), 9 + ((i * 3) % 5), 20 + token, 5];
beforeAll(async () => {
  base = await createModel(config, { labels: ["a", "b"], seed: 2 });
  const rows = Array.from({ length: 32 }, (_, i) => row(i % 8, i));
  train = createInstances({
    kind: "classification",
    rows,
    labels: rows.map((_, i) => i % 2),
    ids: rows.map((_, i) => `t${i}`),
  });
  queries = createInstances({
    kind: "classification",
    rows: [0, 1, 2].map((token) => row(token, 40 + token)),
    labels: [0, 1, 0],
    ids: ["q0", "q1", "q2"],
  });
  tuned = await fineTune(base, train, tuning);
  similarity = await gradientSimilarity(tuned, train, queries, { parameters: "linear" });
});
afterAll(() => {
  tuned.close();
  base.close();
});

test("subset models: half of the training set each, seeded, cut and joined, foretold by gradient similarity better than by chance", async () => {
  const options = { subsets: 24, fineTune: tuning } as const;
  const seen: number[] = [];
  const outputs = await subsetOutputs(base, train, queries, { ...options, onProgress: ({ done }) => seen.push(done) });
  expect(outputs).toMatchObject({ subsets: 24, train: 32, queries: 3, output: "logProbability", trainIds: train.ids });
  for (let s = 0; s < 24; s++) expect(outputs.masks.subarray(s * 32, s * 32 + 32).reduce((a, b) => a + b, 0)).toBe(16);
  expect(seen.at(-1)).toBe(24);
  const joined = joinSubsetOutputs(
    await subsetOutputs(base, train, queries, { ...options, subsets: 10 }),
    await subsetOutputs(base, train, queries, { ...options, from: 10, subsets: 14 }),
  );
  expect(joined).toEqual(outputs);
  const found = (await linearDatamodelingScore(similarity, outputs)).mean.mean;
  const chance = (await linearDatamodelingScore(await randomInstances(train, queries), outputs)).mean.mean;
  expect(found).toBeGreaterThan(0.3);
  expect(found).toBeGreaterThan(chance);
});

test("leave-one-out models lack one instance each; odds rise with probability", async () => {
  const outputs = await leaveOneOutOutputs(base, train, queries, {
    leaveOut: [0, 1, 2, 3, 8, 16],
    output: "logOdds",
    fineTune: tuning,
  });
  expect(Array.from({ length: 6 }, (_, s) => outputs.masks.subarray(s * 32, s * 32 + 32).indexOf(0))).toEqual([
    0, 1, 2, 3, 8, 16,
  ]);
  const plain = await leaveOneOutOutputs(base, train, queries, { leaveOut: [0], fineTune: tuning });
  expect(outputs.values[0]).toBeCloseTo(plain.values[0] - Math.log(1 - Math.exp(plain.values[0])), 6);
  expect((await leaveOneOutCorrelation(similarity, outputs)).perQuery.length).toBe(3);
});

test("removing a query's most helpful instances raises its loss more than removing random ones", async () => {
  const { points, provenance } = await removalCurve(base, train, queries, similarity, {
    counts: [2, 12],
    fineTune: tuning,
  });
  expect(points.map(({ count }) => count)).toEqual([2, 12]);
  expect(points[1].lossRise.mean).toBeGreaterThan(points[1].randomLossRise.mean);
  expect(points[1].lossRise.mean).toBeGreaterThan(points[0].lossRise.mean);
  expect(provenance).toMatchObject({
    method: "removalCurve",
    options: { attribution: "gradientSimilarity", counts: [2, 12] },
  });
});

test("a step on proponents teaches the query, more than one on random instances or on opponents", async () => {
  const { change, randomChange, perQuery } = await tailPatch(tuned, train, queries, similarity, {
    topK: 3,
    learningRate: 1e-4,
  });
  expect(change.mean).toBeGreaterThan(0);
  expect(change.mean).toBeGreaterThan(randomChange.mean);
  expect(perQuery.length).toBe(3);
  const opposed = { ...similarity, scores: similarity.scores.map((score) => -score) };
  expect((await tailPatch(tuned, train, queries, opposed, { topK: 3, learningRate: 1e-4 })).change.mean).toBeLessThan(
    change.mean,
  );
});

test("wrong labels are found by self-influence", async () => {
  const wrong = [3, 10, 21];
  const labels = Array.from(train.labels, (label, i) => (wrong.includes(i) ? 1 - label : label));
  const rows = labels.map((_, i) => Array.from(train.tokens.slice(train.rowOffsets[i], train.rowOffsets[i + 1])));
  const spoilt = createInstances({ kind: "classification", rows, labels });
  using model = await fineTune(base, spoilt, { ...tuning, epochs: 4 });
  const { auc } = await mislabelDetection(
    await gradientSimilarity(model, spoilt, spoilt, { parameters: "linear" }),
    wrong,
  );
  expect(auc.mean).toBeGreaterThan(0.9);
});

test("what does not fit is refused", async () => {
  await expect(subsetOutputs(base, train, queries, { fraction: 0 })).rejects.toMatchObject(
    refusal("invalid", /"fraction"/),
  );
  await expect(subsetOutputs(base, train, queries, { seeds: [] })).rejects.toMatchObject(refusal("invalid", /"seeds"/));
  await expect(subsetOutputs(base, train, queries, { subset: 3 } as never)).rejects.toMatchObject(
    refusal("unknown", /"subset"/),
  );
  await expect(leaveOneOutOutputs(base, train, queries, { leaveOut: [32] })).rejects.toMatchObject(
    refusal("invalid", /"leaveOut"/),
  );
  await expect(removalCurve(base, train, queries, similarity, { counts: [32] })).rejects.toMatchObject(
    refusal("invalid", /"counts"/),
  );
  await expect(removalCurve(base, selectInstances(train, [0, 1, 2]), queries, similarity)).rejects.toMatchObject(
    refusal("mismatch", /same ids/),
  );
  await expect(tailPatch(tuned, train, queries, similarity, { topK: 0 })).rejects.toMatchObject(
    refusal("invalid", /"topK"/),
  );
  await expect(tailPatch(base, train, queries, similarity)).rejects.toMatchObject(
    refusal("mismatch", /"gradientSimilarity" is of another model.*acrossModels/),
  );
  const unlabelled = createInstances({ kind: "classification", rows: [[4, 5]] });
  await expect(subsetOutputs(base, train, unlabelled)).rejects.toMatchObject(
    refusal("missing", /"queries" have nothing to predict \(no label\): 0 \(id "0"\)/),
  );
});
