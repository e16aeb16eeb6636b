// The two readings of a joint attribution: summed over units it is an instance attribution, summed over instances a neuron attribution.
import type { InstanceAttribution, JointAttribution, NeuronAttribution, Provenance, Site } from "../../types/results";
import { AttributionError, expected } from "../errors";
import { onlyKnown, oneOf } from "../options";
import { requireJoint } from "../results/require";

export interface MarginalOptions {
  /** Over neurons: the units of the result. @default all that the joint attribution has */
  readonly site?: Site;
}

/**
 * "instances": score(q, z) = Σ_u J(q, z; u) + rest, the attribution that was split; all pairs must be there ("missing").
 * "neurons": score(q; u) = Σ_z J(q, z; u), over the query's pairs. With all pairs it is the part of ⟨v, Σ_z ∇L(z)⟩ that the unit's weights
 * have: positive where training on the whole set, through this unit, lowers the query's loss.
 * Unit and sign: the attribution's. Source: see jointAttribution. Cost: one pass over the sums.
 * @returns scores [query, train] or [query, layer, unit]
 * @example const neurons = marginal(joint, "neurons"); // comparable with integratedGradients(model, queries)
 */
export function marginal(joint: JointAttribution, over: "instances"): InstanceAttribution;
export function marginal(joint: JointAttribution, over: "neurons", options?: MarginalOptions): NeuronAttribution;
export function marginal(
  joint: JointAttribution,
  over: "instances" | "neurons",
  options?: MarginalOptions,
): InstanceAttribution | NeuronAttribution {
  const given = onlyKnown(options, ["site"]);
  requireJoint(joint, "joint");
  if (over === "instances") {
    if (given["site"] !== undefined) throw new AttributionError("invalid", `"site" is of the marginal over "neurons"`);
    return instanceMarginal(joint);
  }
  if ((over as string) !== "neurons") throw expected("over", `"instances" or "neurons"`, over);
  return neuronMarginal(joint, oneOf(given, "site", joint.site, sitesOf(joint)));
}

function sitesOf({ site }: JointAttribution): readonly Site[] {
  return site === "both" ? ["both", "neurons", "heads"] : [site];
}

function instanceMarginal(joint: JointAttribution): InstanceAttribution {
  const { queries, train, pairs, queryIndices, trainIndices, queryIds, trainIds, unit } = joint;
  if (pairs !== queries * train)
    throw new AttributionError(
      "missing",
      `The joint attribution holds ${pairs} of ${queries * train} pairs: make it without "topK" and "pairs"`,
    );
  const scores = new Float32Array(pairs);
  joint.scores.forEach((score, pair) => {
    scores[queryIndices[pair] * train + trainIndices[pair]] = score;
  });
  return Object.freeze({
    kind: "instances",
    scores,
    queries,
    train,
    queryIds,
    trainIds,
    unit,
    provenance: marginalProvenance(joint, "instances"),
  });
}

function neuronMarginal(joint: JointAttribution, site: Site): NeuronAttribution {
  const { queries, layers, units, neurons } = joint;
  const [first, end] = [site === "heads" ? neurons : 0, site === "neurons" ? neurons : units];
  const own = end - first;
  const scores = new Float32Array(queries * layers * own);
  for (let row = 0; row < queries * layers; row++)
    scores.set(joint.unitSums.subarray(row * units + first, row * units + end), row * own);
  return Object.freeze({
    kind: "neurons",
    scores,
    instances: queries,
    layers,
    units: own,
    site,
    instanceIds: joint.queryIds,
    targetValues: new Float64Array(queries).fill(NaN),
    targetLabels: new Int32Array(queries).fill(-1),
    completenessGap: new Float64Array(0),
    unit: `sum over training instances of: ${joint.unit}`,
    provenance: marginalProvenance(joint, "neurons"),
  });
}

/** The queries are the neuron marginal's instances. */
function marginalProvenance({ provenance }: JointAttribution, over: string): Provenance {
  const { dataHashes, options } = provenance;
  return Object.freeze({
    ...provenance,
    method: "marginal",
    options: Object.freeze({ ...options, over }),
    dataHashes: over === "neurons" ? Object.freeze({ ...dataHashes, instances: dataHashes["queries"] }) : dataHashes,
  });
}
