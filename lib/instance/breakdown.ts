// Breakdown: scores of an attribution split into the parts of modules, or of tokens of the training instance or the query.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Breakdown, InstanceAttribution, ScoreParts } from "../../types/results";
import type { GradientStore, TopInstances } from "../../types/store";
import { instanceTokens } from "../data/instance-tokens";
import { AttributionError, expected } from "../errors";
import { batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { libtorchVersion } from "../native";
import { integer, oneOf, onlyKnown } from "../options";
import { provenance } from "../provenance";
import { topIndices } from "../results/ranking";
import { rowScores } from "../results/top";
import { exactMethods, exactParts } from "./breakdown-exact";
import { featureMethods, featureParts } from "./breakdown-features";
import { type BreakdownOptions, type BreakdownRequest, isStore, type MadeParts } from "./breakdown-request";

const names = [...batchOptionNames, "by", "topK", "pairs", "store", "factors", "memory"];

/**
 * score(q, z) = Σ_m Σ_t g_tᵀ V_m a_t, with a_t and g_t the inputs and output gradients of module m at token t of z, and V_m its part of
 * M ∇L(q), M the method's matrix. By "module" the parts are the inner sums, by "trainToken" those over modules, by "queryToken" the same with q
 * and z changed round (M is symmetric; LiSSA's is not, and there each token of q is solved for). They sum to the score, in its unit and
 * sign; a cosine's parts are divided by its norms. A token's part is of the gradient that passes at its position, whichever later tokens'
 * losses it comes from.
 * Of `attribution` the method and options are read (gradientSimilarity, influence, projectedGaussNewton, dataInf, trak, storeSimilarity), and
 * `train` and `queries` must be its own. A store may stand for the training instances where their tokens are not asked for; what it holds is rounded,
 * so parts by "trainToken" sum to the score without that rounding.
 * Cost: a forward and backward for each different query and training instance of the pairs, and the method's solve for the queries (by "queryToken":
 * for the training instances; LiSSA: for the queries' tokens).
 * @returns for each pair its parts [module] or [token]
 * @example const { pairs } = await breakdown(model, train, queries, instances, { by: "trainToken", topK: 3 });
 * const words = await model.tokenizer.tokenTexts(pairs[0].tokens); // words[t] has pairs[0].parts[t] of pairs[0].score
 */
export async function breakdown(
  model: Model, train: Instances | GradientStore, queries: Instances, attribution: InstanceAttribution | TopInstances, options: BreakdownOptions = {},
): Promise<Breakdown> {
  const given = onlyKnown(options, names);
  const by = oneOf(given, "by", "module", ["module", "trainToken", "queryToken"]);
  requireAttribution(attribution);
  requireOwn(model, train, queries, attribution);
  const pairs = pairsOf(attribution, options);
  const { provenance: made, unit } = attribution;
  const request: BreakdownRequest = { model, train, queries, by, pairs, made, given: options };
  const { parts, modules, scales } = await (exactMethods.includes(made.method) ? exactParts(request) : featureParts(request));
  return Object.freeze({
    kind: "breakdown", by, modules: Object.freeze(by === "module" ? [...modules] : []), pairs: Object.freeze(scoreParts(request, attribution, { parts, modules, scales })), unit,
    provenance: provenance({ method: "breakdown", options: { by, attribution: made.method, ...made.options }, model, data: { train: { hash: made.dataHashes["train"] }, queries }, libtorch: libtorchVersion() }),
  });
}

function scoreParts({ train, queries, by, pairs }: BreakdownRequest, { queryIds, trainIds }: InstanceAttribution | TopInstances, { parts, modules, scales }: MadeParts): ScoreParts[] {
  let place = 0;
  return Array.from(pairs.queries, (query, pair) => {
    const z = pairs.trains[pair];
    const tokens = by === "module" ? new Int32Array(0) : by === "queryToken" ? instanceTokens(queries, query).slice() : instanceTokens(train as Instances, z).slice();
    const size = by === "module" ? modules.length : tokens.length;
    const own = parts.slice(place, place + size).map((part) => part * (scales?.[pair] ?? 1));
    place += size;
    return Object.freeze({ query, train: z, queryId: queryIds[query], trainId: trainIds[z], score: own.reduce((sum, part) => sum + part, 0), parts: own, tokens });
  });
}

function requireAttribution(attribution: unknown): asserts attribution is InstanceAttribution | TopInstances {
  const { kind, provenance: made } = (attribution ?? {}) as Partial<InstanceAttribution>;
  if ((kind as string) !== "instances" && (kind as string) !== "topInstances") throw expected("attribution", "scores of training instances, or the best of each query", attribution);
  const known = [...exactMethods, ...featureMethods];
  if (!known.includes(made!.method)) throw new AttributionError("unsupported", `"${made!.method}" is no single inner product of gradients: a breakdown is of ${known.join(", ")}`);
}

/** Refuses a model, training set and queries other than the attribution's. */
function requireOwn(model: Model, train: Instances | GradientStore, queries: Instances, { provenance: { method, modelHash, dataHashes }, trainIds }: InstanceAttribution | TopInstances): void {
  checkFit(model, queries, "queries");
  const refuse = (what: string) => new AttributionError("mismatch", `The attribution "${method}" is of ${what}: give those it was made with`);
  if (modelHash !== model.hash) throw refuse("another model");
  if (dataHashes["queries"] !== queries.hash) throw refuse("other queries");
  if (isStore(train)) {
    if (dataHashes["train"] !== train.dataHash) throw refuse("another training set");
    return;
  }
  checkFit(model, train, "train");
  // A store that was appended to has its parts' hashes.
  const isOwn = dataHashes["train"].includes("+") ? trainIds.length === train.size && trainIds.every((id, i) => id === train.ids[i]) : dataHashes["train"] === train.hash;
  if (!isOwn) throw refuse("another training set");
}

function pairsOf(attribution: InstanceAttribution | TopInstances, { pairs, topK }: BreakdownOptions): BreakdownRequest["pairs"] {
  if (pairs !== undefined) {
    if (topK !== undefined) throw new AttributionError("invalid", `"pairs" and "topK" both say which scores: give one of them`);
    return givenPairs(attribution, pairs);
  }
  const isTop = attribution.kind === "topInstances";
  const most = isTop ? attribution.k : attribution.train;
  const k = Math.min(most, integer({ topK }, "topK", isTop ? most : 10, 1));
  const best = (query: number) => (isTop ? attribution.indices.subarray(query * attribution.k, query * attribution.k + k) : topIndices(rowScores(attribution, query), k));
  const trains = Array.from({ length: attribution.queries }, (_, query) => Array.from(best(query))).flat();
  return { queries: Int32Array.from(trains, (_, i) => Math.floor(i / k)), trains: Int32Array.from(trains) };
}

function givenPairs({ queries, train }: InstanceAttribution | TopInstances, pairs: unknown): BreakdownRequest["pairs"] {
  const isIndex = (value: unknown, size: number) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < size;
  const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && isIndex(pair[0], queries) && isIndex(pair[1], train);
  if (!Array.isArray(pairs) || pairs.length === 0 || !pairs.every(isPair)) throw expected("pairs", `a list of [query, train] with indices within 0–${queries - 1} and 0–${train - 1}`, pairs);
  const list = pairs as [number, number][];
  return { queries: Int32Array.from(list, ([query]) => query), trains: Int32Array.from(list, ([, z]) => z) };
}
