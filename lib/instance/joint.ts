// Joint attribution: scores of an instance attribution split by the units whose own weights they belong to.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution, JointAttribution } from "../../types/results";
import type { NativeJoint } from "../../types/native-joint";
import type { GradientStore, TopInstances } from "../../types/store";
import { AttributionError } from "../errors";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { integer, onlyKnown } from "../options";
import { checkpointMethods } from "./breakdown/checkpoints";
import { exactMethods } from "./breakdown/exact";
import { pairsOf } from "./breakdown/pairs";
import { requireOwnData, requireSplittable } from "./breakdown/subject";
import { exactJoint, featureJoint, type JointRequest } from "./joint/parts";
import { unitsOf } from "./joint/units";

export interface JointOptions extends BatchOptions {
  /** Units kept of each pair, those of the largest magnitude. 0: only the sums over each query's pairs. @default 10 */
  readonly units?: number;
  /** The best so many training instances of each query. @default all, or all that TopInstances hold */
  readonly topK?: number;
  /** Pairs of indices instead of the best; none twice. */
  readonly pairs?: readonly (readonly [query: number, train: number])[];
  /** Over a store: the attribution's own. @default a store for the time of the call */
  readonly store?: GradientStore;
  /** EK-FAC: the folder of factors that `fitEkfac` wrote. @default fitted again, with the attribution's options */
  readonly factors?: string;
  /** What vectors of the parameters may take at a time: bytes, or text such as "2 GB". @default "1 GB" */
  readonly memory?: number | string;
}

const names = [...batchOptionNames, "units", "topK", "pairs", "store", "factors", "memory"];

/**
 * score(q, z) = Σ_u J(q, z; u) + rest, with J(q, z; u) = Σ_{p ∈ u} v_p · ∂L(z)/∂θ_p the part of the unit u's own weights and
 * v = M ∇L(q), M the method's matrix. With V a module's part of v, a_t and g_t its inputs and output gradients at token t of z:
 * a neuron has the row of up and of gate, Σ_t g_t[u] (V a_t)[u] with their biases, and the column of down, Σ_t (Vᵀ g_t)[u] a_t[u];
 * a head has its rows of query, key and value and its columns of the output projection; a key-value head that several heads share is
 * split evenly over them. The rest has the biases of down and of the output projection, and every module without units.
 * Unit and sign: the attribution's; positive parts lower the query's loss. Source: this library; it splits the parameters, so it is an identity.
 * Of `attribution` the method and options are read (gradientSimilarity, influence, projectedGaussNewton, dataInf, trak, storeSimilarity),
 * and `train` and `queries` must be its own. A sum over checkpoints is refused ("unsupported"): its parts are of several models.
 * "unsupported" where no unit has weights among its parameters; "missing" where a store stands for the training instances.
 * Cost: a forward and backward for each query and training instance, the method's solve for the queries, and for each pair the product of
 * two gradients; with `units: 0` and all pairs one product for each query. Memory: units × queries sums, k units of each pair.
 * @example const joint = await jointAttribution(model, train, queries, influences, { topK: 20, units: 5 });
 * top(joint, 0, 5)[0]; // { index: 517, layer: 2, unit: 5, site: "neurons", score: 0.8 } of the first pair
 */
export async function jointAttribution(
  model: Model,
  train: Instances,
  queries: Instances,
  attribution: InstanceAttribution | TopInstances,
  options: JointOptions = {},
): Promise<JointAttribution> {
  const given = onlyKnown(options, names);
  requireOneModel(attribution, model);
  requireOwnData(train, queries, attribution);
  checkFit(model, queries, "queries");
  const { provenance: made } = attribution;
  if (made.modelHash !== model.hash)
    throw new AttributionError(
      "mismatch",
      `The attribution "${made.method}" is of another model: give the one it was made with`,
    );
  const k = integer(given, "units", 10, 0);
  const isTop = attribution.kind === "topInstances";
  const isWhole = !isTop && options.topK === undefined && options.pairs === undefined;
  const pairs = isWhole ? allPairs(attribution) : pairsOf(attribution, options);
  const request: JointRequest = { model, train, queries, pairs, made, given: options, k, sumsOnly: isWhole && k === 0 };
  const parts = await (exactMethods.includes(made.method) ? exactJoint(request) : featureJoint(request));
  return jointResult(request, attribution, parts);
}

/** Refuses attributions that do not come apart, and those over checkpoints. */
function requireOneModel(
  attribution: unknown,
  model: unknown,
): asserts attribution is InstanceAttribution | TopInstances {
  const method = (attribution as InstanceAttribution | null)?.provenance?.method;
  if (checkpointMethods.includes(method as string))
    throw new AttributionError(
      "unsupported",
      `"${method}" is a sum over checkpoints, whose units are not the same: split an attribution of one of them, e.g. gradientSimilarity`,
    );
  requireSplittable(attribution, Array.isArray(model));
}

function allPairs({ queries, train }: InstanceAttribution): JointRequest["pairs"] {
  const pairs = { queries: new Int32Array(queries * train), trains: new Int32Array(queries * train) };
  for (let query = 0; query < queries; query++) {
    pairs.queries.fill(query, query * train, (query + 1) * train);
    for (let at = 0; at < train; at++) pairs.trains[query * train + at] = at;
  }
  return pairs;
}

function jointResult(
  { model, pairs, made, k, sumsOnly }: JointRequest,
  attribution: InstanceAttribution | TopInstances,
  { joint, modules }: { readonly joint: NativeJoint; readonly modules: readonly string[] },
): JointAttribution {
  const { site, units, neurons } = unitsOf(model, modules);
  const { queries, train, queryIds, trainIds, unit } = attribution;
  const { layers } = model.architecture;
  return Object.freeze({
    kind: "joint",
    queries,
    train,
    queryIds,
    trainIds,
    layers,
    units,
    neurons,
    site,
    pairs: pairs.queries.length,
    k: Math.min(k, layers * units),
    queryIndices: pairs.queries,
    trainIndices: pairs.trains,
    scores: sumsOnly ? Float64Array.from(attribution.scores) : joint.scores,
    indices: joint.indices,
    parts: joint.parts,
    others: joint.others,
    rest: joint.rest,
    unitSums: joint.sums,
    restSums: joint.restSums,
    unit,
    provenance: Object.freeze({
      ...made,
      method: "jointAttribution",
      options: Object.freeze({ ...made.options, units: k, attribution: made.method }),
    }),
  });
}
