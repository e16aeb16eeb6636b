// The sweep of dampings against linear datamodeling scores computed one by one, and that the held-out queries choose nothing.
import { linearDatamodelingScore } from "../../lib/analysis/linear-datamodeling-score";
import { tuneDamping } from "../../lib/analysis/tune-damping";
import { createRandom } from "../../lib/random";
import { mean } from "../../lib/statistics";
import type { SubsetOutputs } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";
import { refusal } from "../storage/refusal";

const [subsets, train, queries] = [12, 8, 6];
const random = createRandom(5);
const truth = Float64Array.from({ length: queries * train }, () => random.normal());
const masks = Uint8Array.from({ length: subsets * train }, () => random.below(2));
const ids = (count: number) => Array.from({ length: count }, (_, i) => String(i));
const outputs: SubsetOutputs = {
  subsets,
  train,
  queries,
  masks,
  values: Float64Array.from({ length: subsets * queries }, (_, at) => {
    const [subset, query] = [Math.floor(at / queries), at % queries];
    return mean(Array.from({ length: train }, (__, i) => masks[subset * train + i] * truth[query * train + i]));
  }),
  output: "logProbability",
  trainIds: ids(train),
  queryIds: ids(queries),
};

/** Right at damping 0.1, the more noise the further from it. */
function attribute(damping: number): Promise<InstanceAttribution> {
  const noise = createRandom(9, Math.round(1e6 * damping));
  return Promise.resolve({
    kind: "instances",
    scores: Float32Array.from(truth, (value) => value + 2 * Math.abs(Math.log10(damping / 0.1)) * noise.normal()),
    queries,
    train,
    queryIds: ids(queries),
    trainIds: ids(train),
    unit: "",
    provenance: {} as never,
  });
}

test("takes the damping that is best on some queries, and reports the score on the others", async () => {
  const found = await tuneDamping(attribute, outputs, { dampings: [10, 0.1, 1e-3] });
  expect(found.best).toBe(0.1);
  expect([...found.tuningQueries, ...found.heldOutQueries].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  expect(found.points.map(({ damping }) => damping)).toEqual([1e-3, 0.1, 10]);
  for (const { damping, tuning, heldOut } of found.points) {
    const { perQuery } = await linearDatamodelingScore(await attribute(damping), outputs);
    expect(tuning.mean).toBeCloseTo(mean(found.tuningQueries.map((query) => perQuery[query])), 10);
    expect(heldOut.mean).toBeCloseTo(mean(found.heldOutQueries.map((query) => perQuery[query])), 10);
  }
  expect(found.heldOut.mean).toBeCloseTo(1, 6);
  expect(await tuneDamping(attribute, outputs, { dampings: [10, 0.1, 1e-3] })).toEqual(found);
});

test.each<[string, () => Promise<unknown>, string, RegExp]>([
  ["no function", () => tuneDamping(0.1 as never, outputs), "invalid", /"attribute"/],
  ["a damping of 0", () => tuneDamping(attribute, outputs, { dampings: [0] }), "invalid", /"dampings"/],
  ["a share above 1", () => tuneDamping(attribute, outputs, { share: 2 }), "invalid", /"share"/],
  [
    "outputs of which one query alone varies",
    () => tuneDamping(attribute, { ...outputs, values: outputs.values.map((x, at) => (at % queries === 0 ? x : 0)) }),
    "invalid",
    /at least two queries/,
  ],
])("%s is refused", async (_name, call, code, words) => {
  await expect(call()).rejects.toMatchObject(refusal(code as never, words));
});
