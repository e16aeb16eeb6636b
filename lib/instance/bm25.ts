// BM25 (Robertson & Walker 1994) over token ids: how well words alone find the training instances. A baseline that no model
// makes; every comparison of instance attributions carries it.
import { instanceTokens } from "../data/instance-tokens";
import { pacedBy } from "../pacing";
import { requireSome } from "../data/require-instances";
import { number, onlyKnown } from "../options";
import { provenance } from "../provenance";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { InstanceAttribution } from "../../types/results";

export interface Bm25Options extends CallOptions {
  /** How soon repeats of a term in a document stop counting. @default 1.5 */
  readonly k1?: number;
  /** How far long documents are marked down, 0–1. @default 0.75 */
  readonly b?: number;
}

/**
 * Scores [query, train] = Σ over the query's tokens t (repeats count again) of idf(t) · f (k1 + 1) / (f + k1 (1 − b + b · len / mean len)),
 * f the count of t in the training instance, idf(t) = ln(1 + (N − n + 0.5) / (n + 0.5)) with n of N instances holding t, which is
 * never negative. Terms are token ids, those of all rows of an instance. Unit: nats of term weight. Positive: shares rarer tokens.
 * Cost: per query one pass over the training instances that share each of its tokens.
 * @example const byWords = await bm25(train, queries);
 */
export async function bm25(train: Instances, queries: Instances, given?: Bm25Options): Promise<InstanceAttribution> {
  const options = onlyKnown(given, ["k1", "b", "signal", "onProgress"]);
  const { signal, onProgress } = given ?? {};
  const settings = { k1: number(options, "k1", 1.5, 0), b: number(options, "b", 0.75, 0, 1) };
  requireSome(train, "train");
  requireSome(queries, "queries");
  const pace = pacedBy(signal);
  const postings = await indexTerms(train, settings, pace);
  const scores = new Float32Array(queries.size * train.size); // [query, train]
  const sums = new Float64Array(train.size);
  for (let query = 0; query < queries.size; query++) {
    sums.fill(0);
    for (const [term, count] of termCounts(queries, query)) {
      addPostings(sums, postings.get(term), count);
      await pace();
    }
    scores.set(sums, query * train.size);
    await onProgress?.({ done: query + 1, total: queries.size, stage: "BM25" });
  }
  return Object.freeze({
    kind: "instances",
    scores,
    queries: queries.size,
    train: train.size,
    queryIds: queries.ids,
    trainIds: train.ids,
    unit: "BM25 term weight (nats)",
    provenance: provenance({ method: "bm25", options: settings, data: { train, queries } }),
  });
}

/** The training instances that hold a term, and what the term adds to each. */
interface Postings {
  readonly instances: number[];
  readonly weights: number[];
}

async function indexTerms(
  train: Instances,
  { k1, b }: { readonly k1: number; readonly b: number },
  pace: () => Promise<void>,
): Promise<Map<number, Postings>> {
  const postings = new Map<number, Postings>();
  const meanLength = train.tokens.length / train.size;
  for (let instance = 0; instance < train.size; instance++) {
    const norm = k1 * (1 - b + (b * instanceTokens(train, instance).length) / meanLength);
    for (const [term, count] of termCounts(train, instance)) {
      const posting = postings.get(term) ?? { instances: [], weights: [] };
      postings.set(term, posting);
      posting.instances.push(instance);
      posting.weights.push((count * (k1 + 1)) / (count + norm));
    }
    await pace();
  }
  for (const { instances, weights } of postings.values()) {
    const idf = Math.log(1 + (train.size - instances.length + 0.5) / (instances.length + 0.5));
    for (let at = 0; at < weights.length; at++) weights[at] = idf * weights[at];
    await pace();
  }
  return postings;
}

function addPostings(sums: Float64Array, postings: Postings | undefined, count: number): void {
  if (postings === undefined) return;
  const { instances, weights } = postings;
  for (let at = 0; at < instances.length; at++) {
    const instance = instances[at];
    sums[instance] += count * weights[at];
  }
}

function termCounts(instances: Instances, index: number): Map<number, number> {
  const counts = new Map<number, number>();
  for (const token of instanceTokens(instances, index)) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
}
