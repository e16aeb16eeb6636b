// What a breakdown asks of a method, and what the method gives.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Breakdown, Provenance } from "../../types/results";
import type { GradientStore } from "../../types/store";
import type { BatchOptions } from "../model/batching";

export interface BreakdownOptions extends BatchOptions {
  /** What a part belongs to: a linear module, or a token of the training instance or of the query. @default "module" */
  readonly by?: Breakdown["by"];
  /** The best so many training instances of each query. @default 10; of TopInstances all that it holds */
  readonly topK?: number;
  /** Pairs of indices instead of the best, e.g. a query with its strongest opponent. */
  readonly pairs?: readonly (readonly [query: number, train: number])[];
  /** Over a store: the attribution's, beside the training instances. @default a store for the time of the call */
  readonly store?: GradientStore;
  /** EK-FAC: the folder of factors that `fitEkfac` wrote. @default fitted again, with the attribution's options */
  readonly factors?: string;
  /** What gradients may take at a time: bytes, or text such as "2 GB". @default "1 GB" */
  readonly memory?: number | string;
}

/** What the methods' own parts need. */
export interface BreakdownRequest {
  readonly model: Model;
  readonly train: Instances | GradientStore;
  readonly queries: Instances;
  readonly by: Breakdown["by"];
  /** [pair] */
  readonly pairs: { readonly queries: Int32Array; readonly trains: Int32Array };
  /** Of the attribution: its method and options. */
  readonly made: Provenance;
  readonly given: BreakdownOptions;
}

export interface MadeParts {
  /** Of all pairs, one after the other. */
  readonly parts: Float64Array;
  readonly modules: readonly string[];
  /** [pair] what its parts are still multiplied with. @default 1 */
  readonly scales?: ArrayLike<number>;
}

export function isStore(train: Instances | GradientStore): train is GradientStore {
  return (train as GradientStore | null)?.kind === "gradientStore";
}

/** The different indices, rising, and the place of each index among them. */
export function distinct(indices: Int32Array): { readonly chosen: number[]; readonly places: Int32Array } {
  const chosen = [...new Set(indices)].sort((a, b) => a - b);
  const place = new Map(chosen.map((index, i) => [index, i]));
  return { chosen, places: indices.map((index) => place.get(index)!) };
}
