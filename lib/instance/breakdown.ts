// Breakdown: scores of an attribution split into the parts of modules, or of tokens of the training instance or the query.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Breakdown, InstanceAttribution, ScoreParts } from "../../types/results";
import type { GradientStore, TopInstances } from "../../types/store";
import { instanceTokens } from "../data/instance-tokens";
import { AttributionError } from "../errors";
import { batchOptionNames } from "../model/batching";
import { checkLosses } from "../model/fit";
import { oneOf, onlyKnown } from "../options";
import { exactMethods, exactParts } from "./breakdown/exact";
import { featureParts } from "./breakdown/features";
import { checkpointParts } from "./breakdown/checkpoints";
import { pairsOf } from "./breakdown/pairs";
import { type BreakdownOptions, type BreakdownRequest, type MadeParts, partCounts } from "./breakdown/request";
import { requireOwnData, requireSplittable } from "./breakdown/subject";
import { type Checkpoint, checkpointOptionNames } from "./checkpoints/checkpoints";
import { optimizerAwareParts } from "./checkpoints/optimizer-aware";

const names = [...batchOptionNames, ...checkpointOptionNames, "by", "topK", "pairs", "store", "factors", "memory"];

/**
 * score(q, z) = Σ_m Σ_t g_tᵀ V_m a_t, with a_t and g_t the inputs and output gradients of module m at token t of z, and V_m its part of
 * M ∇L(q), M the method's matrix. By "module" the parts are the inner sums, by "trainToken" those over modules, by "queryToken" the same with q
 * and z changed round (M is symmetric; LiSSA's is not, and there each token of q is solved for). They sum to the score, in its unit and
 * sign; a cosine's parts are divided by its norms. A token's part is of the gradient that passes at its position, whichever later tokens'
 * losses it comes from.
 * Of `attribution` the method and options are read (gradientSimilarity, influence, projectedGaussNewton, dataInf, trak, storeSimilarity; with the
 * list of checkpoints as `model` tracInCheckpoints, trakCheckpoints, optimizerAwareSimilarity), and `train` and `queries` must be its own. A store may stand for the training instances where their tokens are not asked for; what it holds is rounded,
 * so parts by "trainToken" sum to the score without that rounding.
 * Cost: a forward and backward for each different query and training instance of the pairs, and the method's solve for the queries (by "queryToken":
 * for the training instances; LiSSA: for the queries' tokens).
 * @returns for each pair its parts [module] or [token]
 * @example const { pairs } = await breakdown(model, train, queries, influences, { by: "trainToken", topK: 3 });
 * const words = await model.tokenizer.tokenTexts(pairs[0].tokens); // words[t] has pairs[0].parts[t] of pairs[0].score
 */
export async function breakdown(
  model: Model | readonly Checkpoint[],
  train: Instances | GradientStore | readonly GradientStore[],
  queries: Instances,
  attribution: InstanceAttribution | TopInstances,
  options: BreakdownOptions = {},
): Promise<Breakdown> {
  const given = onlyKnown(options, names);
  const by = oneOf(given, "by", "module", ["module", "trainToken", "queryToken"]);
  requireSplittable(attribution, Array.isArray(model));
  requireOwnData(train, queries, attribution);
  const { provenance: made, unit } = attribution;
  const request = { queries, by, pairs: pairsOf(attribution, options), made };
  const { parts, modules } = Array.isArray(model)
    ? await checkpointParts(
        {
          ...request,
          checkpoints: model as readonly Checkpoint[],
          attribution: attribution as InstanceAttribution,
          train: train as Instances | readonly GradientStore[],
          given: { ...options, store: options.store as readonly GradientStore[] | undefined },
        },
        partsOf,
      )
    : await partsOf({
        ...request,
        model: model as Model,
        train: train as Instances | GradientStore,
        given: { ...options, store: options.store as GradientStore | undefined },
      });
  return Object.freeze({
    kind: "breakdown",
    by,
    modules: Object.freeze(by === "module" ? [...modules] : []),
    pairs: Object.freeze(scoreParts({ ...request, train: train as Instances }, attribution, parts, modules.length)),
    unit,
    provenance: Object.freeze({
      ...made,
      method: "breakdown",
      options: Object.freeze({ by, attribution: made.method, ...made.options }),
    }),
  });
}

function partsOf(request: BreakdownRequest): Promise<MadeParts> {
  const {
    model,
    made: { method, modelHash },
  } = request;
  checkLosses(model, request.queries, "queries");
  if (modelHash !== model.hash)
    throw new AttributionError(
      "mismatch",
      `The attribution "${method}" is of another model: give the one it was made with`,
    );
  if (method === "optimizerAwareSimilarity") return optimizerAwareParts(request);
  return exactMethods.includes(method) ? exactParts(request) : featureParts(request);
}

function scoreParts(
  request: Pick<BreakdownRequest, "train" | "queries" | "by" | "pairs">,
  { queryIds, trainIds }: InstanceAttribution | TopInstances,
  parts: Float64Array,
  modules: number,
): ScoreParts[] {
  const { train, queries, by, pairs } = request;
  let place = 0;
  return Array.from(partCounts(request, modules), (count, pair) => {
    const [query, z] = [pairs.queries[pair], pairs.trains[pair]];
    const tokens =
      by === "module"
        ? new Int32Array(0)
        : by === "queryToken"
          ? instanceTokens(queries, query)
          : instanceTokens(train as Instances, z);
    const own = parts.slice(place, (place += count));
    return Object.freeze({
      query,
      train: z,
      queryId: queryIds[query],
      trainId: trainIds[z],
      score: own.reduce((sum, part) => sum + part, 0),
      parts: own,
      tokens: tokens.slice(),
    });
  });
}
