// What a breakdown asks of a method, and what the method gives.
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { Breakdown, Provenance } from "../../../types/results";
import type { GradientStore } from "../../../types/store";
import { instanceTokens } from "../../data/instance-tokens";
import type { CheckpointOptions } from "../checkpoints/checkpoints";

export interface BreakdownOptions extends CheckpointOptions {
  /** What a part belongs to: a module, or a token of the training instance or of the query. @default "module" */
  readonly by?: Breakdown["by"];
  /** The best so many training instances of each query. @default 10; of TopInstances all that it holds */
  readonly topK?: number;
  /** Pairs of indices instead of the best, e.g. a query with its strongest opponent. */
  readonly pairs?: readonly (readonly [query: number, train: number])[];
  /** Over a store: the attribution's (of checkpoints: each its own), beside the training instances. @default a store for the time of the call */
  readonly store?: GradientStore | readonly GradientStore[];
  /** EK-FAC: the folder of factors that `fitEkfac` wrote. @default fitted again, with the attribution's options */
  readonly factors?: string;
  /** What gradients may take at a time: bytes, or text such as "2 GB". @default "1 GB" */
  readonly memory?: number | string;
}

/** What the methods' own parts need. */
export interface BreakdownRequest {
  readonly model: Model;
  /** Where the model lies, of a checkpoint. */
  readonly directory?: string;
  readonly train: Instances | GradientStore;
  readonly queries: Instances;
  readonly by: Breakdown["by"];
  /** [pair] */
  readonly pairs: { readonly queries: Int32Array; readonly trains: Int32Array };
  /** Of the attribution: its method and options. */
  readonly made: Provenance;
  readonly given: BreakdownOptions & { readonly store?: GradientStore };
}

export interface MadeParts {
  /** Of all pairs, one after the other. */
  readonly parts: Float64Array;
  readonly modules: readonly string[];
  /** TRAK: [pair] the training instance's 1 − p, which the parts are multiplied with. */
  readonly doubts?: Float64Array;
}

/** Parts of each pair, [pair]. */
export function partCounts(
  { train, queries, by, pairs }: Omit<BreakdownRequest, "model" | "made" | "given">,
  modules: number,
): Int32Array {
  if (by === "module") return new Int32Array(pairs.queries.length).fill(modules);
  return by === "queryToken"
    ? pairs.queries.map((query) => instanceTokens(queries, query).length)
    : pairs.trains.map((z) => instanceTokens(train as Instances, z).length);
}

/** Each pair's parts times its scale. */
export function scaledParts(parts: Float64Array, counts: Int32Array, scales: ArrayLike<number>): Float64Array {
  const made = new Float64Array(parts.length);
  let index = 0;
  counts.forEach((count, pair) => {
    for (const end = index + count; index < end; index++) made[index] = parts[index] * scales[pair];
  });
  return made;
}

export function isStore(train: unknown): train is GradientStore {
  return (train as GradientStore | null)?.kind === "gradientStore";
}

/** The different indices, rising, and the index of each among the chosen. */
export function distinct(indices: Int32Array): { readonly chosen: number[]; readonly indices: Int32Array } {
  const chosen = [...new Set(indices)].sort((a, b) => a - b);
  const indexOf = new Map(chosen.map((one, i) => [one, i]));
  return { chosen, indices: indices.map((one) => indexOf.get(one)!) };
}
