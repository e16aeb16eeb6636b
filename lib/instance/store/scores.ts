// Scores of queries against the rows of a gradient store. The store streams through; no model takes part.
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NativeScoreParams } from "../../../types/native";
import type { InstanceAttribution, Provenance } from "../../../types/results";
import type { Quantity } from "../../../types/quantity";
import type { GradientStore, Preconditioner, QueryFeatures, TopInstances } from "../../../types/store";
import type { CallOptions } from "../../../types/common";
import { instanceTokens } from "../../data/instance-tokens";
import { AttributionError, expected } from "../../errors";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "../../model/batching";
import { checkLosses } from "../../model/fit";
import { handleOf } from "../../model/model";
import { libtorchVersion, native, runNative } from "../../native";
import { integer, oneOf, onlyKnown } from "../../options";
import { provenance } from "../../provenance";
import { doubtsFor, nativeStoreOf } from "./native-store";
import { preconditionerOf, shownDamping, unitOf } from "./preconditioners";
import { nativeSettings } from "./projection";
import { nativeQuantity, type QuantityOptions, quantityUnit, shownQuantity } from "../quantity";

export interface ScoreOptions extends CallOptions {
  /** Inner product, or its cosine (within −1–1; 0 where a gradient is 0); the cosine with "none" and "gaussNewton" only. @default "dot" */
  readonly similarity?: "dot" | "cosine";
  /** λ as a share of the preconditioner's mean diagonal entry, above 0. @default 0.1 */
  readonly damping?: number;
  /** Only the best so many training instances of each query; the full matrix is then never held. */
  readonly topK?: number;
  /** What rows and preconditioners may take at a time: bytes, or text such as "2 GB". @default "1 GB" */
  readonly memory?: number | string;
}

export interface StoreSimilarityOptions extends ScoreOptions {
  /**
   * What stands between the features of query and training instance.
   * "none": nothing, gradient similarity. "gaussNewton": (H + λI)⁻¹ per module, H the mean of g gᵀ over the store (LoGra); with the
   * cosine H^(-1/2) on both sides. "dataInf": Kwon et al. 2024. "trak": Park et al. 2023.
   * @default "none"
   */
  readonly preconditioner?: Preconditioner;
}

export const scoreOptionNames = ["signal", "onProgress", "similarity", "damping", "topK", "memory"] as const;

export interface QueryFeatureOptions extends BatchOptions, QuantityOptions {
  /**
   * What a row is the gradient of. "token": a query's tokens one by one, which sum to the query's row; so storeSimilarity gives scores
   * [token, train] that sum to its scores with the dot product, whatever the preconditioner.
   * @default "query"
   */
  readonly per?: "query" | "token";
}

/**
 * The features of queries, made with a store's settings by the model whose store it is. Small: queries × width floats.
 * @example const features = await queryFeatures(model, queries, store);
 */
export async function queryFeatures(
  model: Model,
  queries: Instances,
  store: GradientStore,
  options?: QueryFeatureOptions,
): Promise<QueryFeatures> {
  const given = onlyKnown(options, [...batchOptionNames, "per", "of"]);
  const per = oneOf(given, "per", "query", ["query", "token"]);
  requireStore(store);
  checkLosses(model, queries, "queries");
  const { settings, modelHash, dtype, width } = store;
  if (model.hash !== modelHash)
    throw new AttributionError(
      "mismatch",
      `The store in ${store.directory} is of another model (${modelHash.slice(0, 12)}, not ${model.hash.slice(0, 12)}). Build a store with this one`,
    );
  if (model.dtype !== dtype)
    throw new AttributionError(
      "mismatch",
      `The store in ${store.directory} was made in ${dtype}, but this model computes in ${model.dtype}. Load the model with dtype: "${dtype}"`,
    );
  const params = {
    settings: await nativeSettings(store.directory, settings),
    batchTokens: batchTokensOf(given),
    ofTokens: per === "token",
    of: given["of"] === undefined ? undefined : nativeQuantity(given["of"], model, queries),
  };
  const { features, losses } = await runNative(
    (control) => native().gradientFeatures(handleOf(model), queries, params, control),
    options,
  );
  const queryIds =
    per === "query"
      ? queries.ids
      : Object.freeze(
          queries.ids.flatMap((id, query) =>
            Array.from(instanceTokens(queries, query), (_, token) => `${id}:${token}`),
          ),
        );
  return Object.freeze({
    kind: "queryFeatures",
    per,
    features,
    losses,
    queries: queryIds.length,
    width,
    queryIds,
    settings,
    modelHash,
    dtype,
    dataHash: queries.hash,
    ...(given["of"] === undefined ? {} : { of: shownQuantity(given["of"] as Quantity) }),
  });
}

/**
 * score(q, z) = φ_qᵀ M φ_z with φ the stored features and M the `preconditioner`'s matrix. Positive: training on z lowers the loss
 * of q. Sources and formulas: see gradientSimilarity, projectedGaussNewton, dataInf and trak, which also take a store.
 * M is applied in double: scores are right to 1e-6 of the largest one for dampings down to 1e-8, in any order of the rows.
 * Cost: the store is read once ("gaussNewton", "trak": twice; "dataInf": three times), whatever the number of queries. "gaussNewton" and
 * "trak" hold a matrix of n × n doubles and its factor, n the rows or the features of a module ("trak": of all modules), whichever are fewer.
 * @returns scores [query, train], or with `topK` the best of each query
 * @example const best = await storeSimilarity(store, await queryFeatures(model, queries, store), { preconditioner: "gaussNewton", topK: 100 });
 */
export function storeSimilarity(
  store: GradientStore,
  queries: QueryFeatures,
  options: StoreSimilarityOptions & { readonly topK: number },
): Promise<TopInstances>;
export function storeSimilarity(
  store: GradientStore,
  queries: QueryFeatures,
  options?: StoreSimilarityOptions & { readonly topK?: undefined },
): Promise<InstanceAttribution>;
export function storeSimilarity(
  store: GradientStore,
  queries: QueryFeatures,
  options?: StoreSimilarityOptions,
): Promise<InstanceAttribution | TopInstances>;
export async function storeSimilarity(
  store: GradientStore,
  queries: QueryFeatures,
  options?: StoreSimilarityOptions,
): Promise<InstanceAttribution | TopInstances> {
  const given = onlyKnown(options, [...scoreOptionNames, "preconditioner"]);
  requireStore(store);
  requireSameFeatures(store, queries);
  const { kind, similarity, damping, memoryBytes } = preconditionerOf(given);
  const top = given["topK"] === undefined ? 0 : Math.min(store.rows, integer(given, "topK", 0, 1));
  const params: NativeScoreParams = {
    preconditioner: kind,
    similarity,
    damping,
    top,
    memoryBytes,
    ...(await doubtsFor(kind, store, queries)),
  };
  const { scores, indices } = await runNative(
    (control) => native().storeScores(nativeStoreOf(store), { ...params, queries: queries.features }, control),
    options,
  );
  const frame = {
    queries: queries.queries,
    train: store.rows,
    queryIds: queries.queryIds,
    trainIds: store.trainIds,
    unit: queries.of === undefined ? unitOf(kind, similarity) : quantityUnit(queries.of),
  };
  const resolved = {
    ...(queries.of === undefined ? {} : { of: queries.of }),
    preconditioner: kind,
    similarity,
    damping: shownDamping(kind, damping),
    topK: top || null,
    precision: store.precision,
    ...store.settings,
  };
  const origin = originOf("storeSimilarity", store, resolved, queries.dataHash);
  if (top === 0) return Object.freeze({ kind: "instances", scores, ...frame, provenance: origin });
  return Object.freeze({ kind: "topInstances", scores, indices, k: top, ...frame, provenance: origin });
}

/** "invalid" for anything but a gradient store whose parts have the lengths that they must have. */
export function requireStore(store: unknown): asserts store is GradientStore {
  const { kind, directory, rows, segments, shards, trainIds } = (
    typeof store === "object" && store !== null ? store : {}
  ) as Partial<GradientStore>;
  const isWhole =
    kind === "gradientStore" &&
    typeof directory === "string" &&
    [segments, shards, trainIds].every(Array.isArray) &&
    trainIds!.length === rows;
  if (!isWhole) throw expected("store", "a gradient store from buildGradientStore or openGradientStore", store);
}

function requireSameFeatures(store: GradientStore, queries: QueryFeatures): void {
  const { kind, features, width, queryIds, settings } = (
    typeof queries === "object" && queries !== null ? queries : {}
  ) as Partial<QueryFeatures>;
  const isWhole =
    kind === "queryFeatures" &&
    ArrayBuffer.isView(features) &&
    Array.isArray(queryIds) &&
    features.length === queryIds.length * width! &&
    settings !== undefined;
  if (!isWhole) throw expected("queries", "features from queryFeatures", queries);
  const isSame =
    queries.modelHash === store.modelHash &&
    queries.dtype === store.dtype &&
    JSON.stringify(queries.settings) === JSON.stringify(store.settings);
  if (!isSame)
    throw new AttributionError(
      "mismatch",
      `The queries' features were not made for the store in ${store.directory}: make them with queryFeatures(model, queries, store)`,
    );
}

export function originOf(
  method: string,
  store: GradientStore,
  options: Readonly<Record<string, unknown>>,
  queries?: string,
): Provenance {
  const data = { train: { hash: store.dataHash }, ...(queries === undefined ? {} : { queries: { hash: queries } }) };
  return provenance({
    method,
    options,
    model: { hash: store.modelHash, dtype: store.dtype },
    data,
    libtorch: libtorchVersion(),
  });
}
