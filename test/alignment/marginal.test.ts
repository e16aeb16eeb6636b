// The two marginals of a joint attribution against the attribution itself and explicit sums.
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { jointAttribution } from "../../lib/instance/joint";
import { marginal } from "../../lib/alignment/marginal";
import { naInstances } from "../../lib/alignment/na-instances";
import { top } from "../../lib/results/top";
import type { InstanceAttribution, JointAttribution } from "../../types/results";
import { type GoldenPair, goldenPair } from "../instance/golden-pair";
import { relativeDifference } from "../model/golden-cases";

let pair: GoldenPair;
let attribution: InstanceAttribution;
let joint: JointAttribution;
beforeAll(async () => {
  pair = await goldenPair("float64");
  attribution = await gradientSimilarity(pair.model, pair.train, pair.queries, { parameters: "linear" });
  joint = await jointAttribution(pair.model, pair.train, pair.queries, attribution, { units: 1e6 });
});
afterAll(() => pair.model.close());

test("over units it is the attribution that was split", () => {
  const { scores, provenance, ...rest } = marginal(joint, "instances");
  const { scores: wanted, provenance: made, ...frame } = attribution;
  expect(relativeDifference(scores, wanted)).toBeLessThan(1e-6);
  expect(rest).toEqual(frame);
  expect(provenance).toMatchObject({ method: "marginal", dataHashes: made.dataHashes, modelHash: made.modelHash });
  expect(top(marginal(joint, "instances"), 1, 2).length).toBe(2);
});

test("over instances it is the sum of each unit's parts, for neurons, heads and both", () => {
  const { layers, units, neurons, k, pairs, indices, parts, queryIndices } = joint;
  const wanted = new Float64Array(3 * layers * units);
  for (let i = 0; i < pairs * k; i++) wanted[queryIndices[Math.floor(i / k)] * layers * units + indices[i]] += parts[i];
  const both = marginal(joint, "neurons");
  expect(relativeDifference(both.scores, wanted)).toBeLessThan(1e-6);
  expect([both.site, both.units, both.instances]).toEqual(["both", units, 3]);
  expect(both.provenance.dataHashes["instances"]).toBe(pair.queries.hash);
  for (const site of ["neurons", "heads"] as const) {
    const own = marginal(joint, "neurons", { site });
    const isOwn = (_: number, at: number) => (site === "neurons") === at % units < neurons;
    expect(Array.from(own.scores)).toEqual(Array.from(both.scores).filter(isOwn));
    expect(own.site).toBe(site);
  }
});

test("over instances it goes where a neuron attribution goes", async () => {
  const neurons = marginal(joint, "neurons", { site: "neurons" });
  const aligned = await naInstances(neurons, neurons);
  expect([aligned.queries, aligned.train]).toEqual([3, 3]);
});

test("refuses pairs that are missing, sites that are not there and what is no joint attribution", async () => {
  const { model, train, queries } = pair;
  const some = await jointAttribution(model, train, queries, attribution, { topK: 2 });
  expect(() => marginal(some, "instances")).toThrow(/6 of 18 pairs/);
  expect(marginal(some, "neurons").instances).toBe(3);
  const mlp = await gradientSimilarity(model, train, queries);
  const neurons = await jointAttribution(model, train, queries, mlp, { units: 0 });
  expect(() => marginal(neurons, "neurons", { site: "heads" })).toThrow(/"site"/);
  expect(marginal(neurons, "instances").scores).toEqual(mlp.scores);
  expect(() => marginal(joint, "units" as never)).toThrow(/"over"/);
  expect(() => marginal(joint, "instances" as never, { site: "heads" })).toThrow(/"site"/);
  expect(() => marginal(attribution as never, "neurons")).toThrow(/"joint"/);
});
