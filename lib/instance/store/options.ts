// What a gradient store is made with: options read, and the difference between two such sets in words.
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { Projection, RowType } from "../../../types/native";
import type { FeatureSettings } from "../../../types/store";
import { AttributionError, expected } from "../../errors";
import { batchTokensOf, batchOptionNames, type BatchOptions } from "../../model/batching";
import { handleOf } from "../../model/model";
import { callNative } from "../../native";
import { integer, oneOf, seedOf } from "../../options";
import { defaultParameters, isTable, modulesOf, type Parameters } from "../gradients/parameters";
import { seededSettings } from "./projection";

/** How gradients become features. */
export interface ProjectionOptions {
  /** Modules whose gradients are kept. @default "linear" */
  readonly parameters?: Parameters;
  /**
   * Rank of the projection of each side of a module: rank² features. 0: the exact gradient. An embedding counts as the matrix
   * [row, feature] that is its table: each token takes a column of the rows' projection. A norm's gradient (weight, then bias) is one vector
   * and is projected as a whole, to rank² features where it has more. @default 16
   */
  readonly rank?: number;
  /**
   * "gaussian", "rademacher": both sides of each module by random matrices before the outer product (LoGra, Choe et al. 2024).
   * "pca": both sides by the principal directions of the module's inputs and output gradients over the training instances; takes a
   * pass of its own, keeps what is largest, and is not unbiased. Not for embeddings: refused ("unsupported").
   * "dense": the gradient of all modules together as one vector by one Gaussian matrix, rank² features in all; for small models.
   * "sparse": each module's whole gradient by a matrix with one ±1 in each column (SJLT). "factoredSparse": a random part of both
   * sides first (`mask`), then so (FactGraSS, Hu et al. 2025); at large sizes far cheaper than "sparse". Of an embedding it keeps only
   * `mask` of the table's rows, so few tokens; of a norm everything, as "sparse" does.
   * @default "gaussian"
   */
  readonly projection?: Projection;
  /** Inputs and outputs of a module that "factoredSparse" keeps. @default 4 · rank */
  readonly mask?: number;
  /** Of the projections; with the module's name it makes them, whatever device, batch or order. @default 42 */
  readonly seed?: number;
  /** A causal LM's loss of an instance: summed over its target tokens, or their mean. @default "sum" */
  readonly reduction?: "sum" | "mean";
}

export interface GradientStoreOptions extends ProjectionOptions, BatchOptions {
  /**
   * Type of the stored features. "bfloat16" keeps 8 bits of any size; "float16" keeps 11, but loses gradients below 6e-8 and refuses
   * those above 65504; "int8" keeps 7 below the largest of a row and module.
   * @default "bfloat16"
   */
  readonly precision?: RowType;
  /** Rows of a shard. @default what fits 1 GiB, at most 256 shards */
  readonly rowsPerShard?: number;
}

export const projectionOptionNames = ["parameters", "rank", "projection", "mask", "seed", "reduction"] as const;
export const projectionNames: readonly Projection[] = [
  "gaussian",
  "rademacher",
  "pca",
  "dense",
  "sparse",
  "factoredSparse",
];
export const storeOptionNames = [...batchOptionNames, ...projectionOptionNames, "precision", "rowsPerShard"] as const;

export const precisions: readonly RowType[] = ["float32", "float16", "bfloat16", "int8"];
export const featureBytes: Readonly<Record<RowType, number>> = { float32: 4, float16: 2, bfloat16: 2, int8: 1 };

/** Everything that a store's bytes depend on. */
export interface StoreRequest {
  readonly settings: FeatureSettings;
  readonly precision: RowType;
  readonly rowsPerShard: number;
  readonly batchTokens: number;
  /** First feature of each module, and the width. */
  readonly segments: readonly number[];
  readonly modelHash: string;
  readonly dtype: string;
}

export function settingsOf(model: Model, given: Readonly<Record<string, unknown>>): FeatureSettings {
  const projection = oneOf(given, "projection", "gaussian", projectionNames);
  const rank = integer(given, "rank", 16, 0, 65536);
  const takesExact = projection === "gaussian" || projection === "rademacher";
  if (rank === 0 && !takesExact) throw expected("rank", `at least 1 with the projection "${projection}"`, rank);
  const modules = modulesOf(model.architecture, given["parameters"] ?? defaultParameters(model.architecture, "linear"));
  const table = projection === "pca" ? modules.find(isTable) : undefined;
  if (table !== undefined)
    throw new AttributionError(
      "unsupported",
      `"pca" cannot take "${table}": the principal directions of a table's rows are its most frequent rows. Choose another "projection", or leave it out of "parameters"`,
    );
  if (given["mask"] && projection !== "factoredSparse")
    throw expected("mask", `left out with the projection "${projection}"`, given["mask"]);
  return Object.freeze({
    modules: Object.freeze(modules),
    rank,
    projection,
    mask: projection === "factoredSparse" ? integer(given, "mask", 4 * rank, 1, 65536) : 0,
    basis: "",
    seed: seedOf(given),
    reduction: oneOf(given, "reduction", "sum", ["sum", "mean"]),
  });
}

const shardBytes = 2 ** 30;
const mostShards = 256; // all are open at once while a store is written

export function requestOf(
  model: Model,
  train: Pick<Instances, "size">,
  given: Readonly<Record<string, unknown>>,
): StoreRequest {
  const settings = settingsOf(model, given);
  const precision = oneOf(given, "precision", "bfloat16", precisions);
  const segments =
    settings.projection === "dense"
      ? [0, settings.rank ** 2]
      : Array.from(callNative((addon) => addon.featureOffsets(handleOf(model), seededSettings(settings))));
  const fitting = Math.floor(shardBytes / (segments[segments.length - 1] * featureBytes[precision]));
  const rowsPerShard = integer(
    given,
    "rowsPerShard",
    Math.max(1, fitting, Math.ceil(train.size / mostShards)),
    Math.max(1, Math.ceil(train.size / mostShards)),
  );
  return {
    settings,
    precision,
    rowsPerShard,
    batchTokens: batchTokensOf(given),
    segments,
    modelHash: model.hash,
    dtype: model.dtype,
  };
}

/** Refuses two requests that differ, naming the first difference. */
export function requireSame(directory: string, stored: StoreRequest, asked: StoreRequest): void {
  const refuse = (name: string, was: unknown, is: unknown) =>
    new AttributionError(
      "mismatch",
      `The store in ${directory} was made with ${name} ${JSON.stringify(was)}, but this call has ${JSON.stringify(is)}. Choose another directory, or the same ${name}`,
    );
  if (stored.modelHash !== asked.modelHash) throw refuse("the model", stored.modelHash, asked.modelHash);
  if (stored.dtype !== asked.dtype) throw refuse("the model's type", stored.dtype, asked.dtype);
  for (const name of ["modules", "rank", "projection", "mask", "seed", "reduction"] as const) {
    const [was, is] = [stored.settings[name], asked.settings[name]];
    if (JSON.stringify(was) !== JSON.stringify(is)) throw refuse(name === "modules" ? "parameters" : name, was, is);
  }
  for (const name of ["precision", "rowsPerShard", "batchTokens"] as const) {
    if (stored[name] !== asked[name]) throw refuse(name, stored[name], asked[name]);
  }
}
