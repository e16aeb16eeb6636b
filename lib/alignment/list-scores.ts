// Scores of neuron lists against each other as sparse products: score(q, z) = Σ_u a_q(u) · b_z(u) over the neurons u that both
// list. Linear in the pairs that share a neuron. Notation: q query, z training instance, rank 0-based.
import type { Steps } from "../pacing";
import type { ScoreRows } from "../results/score-rows";
import { dcg } from "../statistics";

/** Neurons of one instance, best first, and their scores. The arrays may be longer than the list. */
export interface NeuronList {
  /** layer · units + unit */
  readonly neurons: Int32Array;
  readonly scores: Float32Array;
  readonly length: number;
}

/** The two factors of a score, per entry of a list. */
export interface ListScore {
  /** a_q; none where the query matches nothing. */
  readonly queryWeights: (list: NeuronList) => Float64Array;
  /** b_z; the array may be longer than the list. */
  readonly trainWeights: (list: NeuronList) => Float64Array;
  /** The score of a pair that shares no neuron. */
  readonly unmatched: number;
}

/** NDCG: relevance is the query's score over its best sum, the discount is that of the training instance's rank. */
export function ndcgScore(): ListScore {
  let discounts = new Float64Array(0);
  return {
    queryWeights({ scores, length }) {
      const ideal = dcg(scores, length);
      return Float64Array.from({ length }, (_, rank) => scores[rank] / ideal);
    },
    trainWeights({ length }) {
      if (discounts.length < length)
        discounts = Float64Array.from({ length: 2 * length }, (_, rank) => 1 / Math.log2(rank + 2));
      return discounts;
    },
    unmatched: 0,
  };
}

/** The paper's score: (2^z − 1) / log2(rank + 2), z within the training instance's list. */
export function paperScore(singleNeuronFirst: boolean): ListScore {
  return {
    queryWeights: ({ length }) => new Float64Array(length).fill(1),
    trainWeights: ({ scores, length }) =>
      zScores(scores.subarray(0, length), singleNeuronFirst).map((z, rank) => (2 ** z - 1) / Math.log2(rank + 2)),
    unmatched: -Infinity,
  };
}

/** (score − mean) / deviation over the whole list (population deviation); 0 where all are equal. */
function zScores(scores: Float32Array, singleNeuronFirst: boolean): Float64Array {
  if (singleNeuronFirst && scores.length === 1) return Float64Array.of(Infinity);
  let [sum, squares] = [0, 0];
  for (const score of scores) sum += score;
  const mean = sum / scores.length;
  for (const score of scores) squares += (score - mean) ** 2;
  const deviation = Math.sqrt(squares / scores.length);
  return Float64Array.from(scores, (score) => (deviation > 0 ? (score - mean) / deviation : 0));
}

/** Training instances whose postings are held at a time. */
export const blockInstances = 2048;

/** The queries' entries by neuron, numbered in the order in which queries name them. */
export interface QueryEntries {
  /** [neuron] its number, −1 where no query lists it. */
  readonly numberOf: Int32Array;
  numbers: number;
  readonly queries: QueryEntry[];
}

/** The numbers of a query's neurons, and a_q. */
interface QueryEntry {
  readonly numbers: Int32Array;
  readonly weights: Float64Array;
}

/** Entries of no query yet. */
export function noEntries(allNeurons: number): QueryEntries {
  return { numberOf: new Int32Array(allNeurons).fill(-1), numbers: 0, queries: [] };
}

/** Adds a query; the list may change afterwards. */
export function addQuery(entries: QueryEntries, list: NeuronList, score: ListScore): void {
  const { numberOf } = entries;
  const numbers = list.neurons.slice(0, list.length).map((neuron) => {
    if (numberOf[neuron] < 0) numberOf[neuron] = entries.numbers++;
    return numberOf[neuron];
  });
  entries.queries.push({ numbers, weights: score.queryWeights(list) });
}

/** Scores of all queries with the training instances first … first + count. */
export function* scoreBlock(
  { numberOf, numbers, queries }: QueryEntries,
  first: number,
  count: number,
  listOf: (instance: number) => NeuronList,
  score: ListScore,
  rows: Pick<ScoreRows<unknown>, "add">,
): Steps<void> {
  let listed = withRoom(emptyPostings, 64 * count);
  for (let at = 0; at < count; at++) {
    const list = listOf(first + at);
    listed = withList(listed, at, list, numberOf, score.trainWeights(list));
    if (at % listsPerStep === 0) yield;
  }
  const sorted = byNumber(listed, numbers);
  const sums = new Float64Array(count);
  for (const [query, entry] of queries.entries()) {
    scoreQuery(entry, sorted, score.unmatched, sums);
    rows.add(query, first, sums);
    yield;
  }
}

const listsPerStep = 16;

function scoreQuery(
  { numbers, weights }: QueryEntry,
  sorted: SortedPostings,
  unmatched: number,
  sums: Float64Array,
): void {
  sums.fill(0);
  for (let at = 0; at < numbers.length; at++) addProducts(sums, weights[at], sorted, numbers[at]);
  if (unmatched === 0) return;
  const matched = new Uint8Array(sums.length);
  for (const number of numbers)
    for (let at = sorted.starts[number]; at < sorted.starts[number + 1]; at++) matched[sorted.instances[at]] = 1;
  for (let at = 0; at < sums.length; at++) if (matched[at] === 0) sums[at] = unmatched;
}

function addProducts(
  sums: Float64Array,
  factor: number,
  { starts, instances, weights }: SortedPostings,
  number: number,
): void {
  const end = starts[number + 1];
  for (let at = starts[number]; at < end; at++) {
    const instance = instances[at];
    sums[instance] += factor * weights[at];
  }
}

/** Entries of the training instances of a block: a neuron's number, the instance within the block, b_z. */
interface Postings {
  readonly numbers: Int32Array;
  readonly instances: Int32Array;
  readonly weights: Float64Array;
  /** Entries that are there; the arrays are longer. */
  readonly size: number;
}

const emptyPostings: Postings = {
  numbers: new Int32Array(0),
  instances: new Int32Array(0),
  weights: new Float64Array(0),
  size: 0,
};

/** With the entries of a list added whose neurons a query lists too; the arrays grow by doubling. */
function withList(
  postings: Postings,
  instance: number,
  { neurons, length }: NeuronList,
  numberOf: Int32Array,
  weightOf: Float64Array,
): Postings {
  const { numbers, instances, weights } = withRoom(postings, length);
  let { size } = postings;
  for (let rank = 0; rank < length; rank++) {
    const number = numberOf[neurons[rank]];
    if (number < 0) continue;
    numbers[size] = number;
    instances[size] = instance;
    weights[size++] = weightOf[rank];
  }
  return { numbers, instances, weights, size };
}

function withRoom(postings: Postings, more: number): Postings {
  const { numbers, instances, weights, size } = postings;
  if (size + more <= numbers.length) return postings;
  const length = 2 * (size + more);
  const longer = {
    numbers: new Int32Array(length),
    instances: new Int32Array(length),
    weights: new Float64Array(length),
  };
  longer.numbers.set(numbers.subarray(0, size));
  longer.instances.set(instances.subarray(0, size));
  longer.weights.set(weights.subarray(0, size));
  return { ...longer, size };
}

interface SortedPostings {
  /** The entries of number n are starts[n] … starts[n + 1]. */
  readonly starts: Int32Array;
  readonly instances: Int32Array;
  readonly weights: Float64Array;
}

/** The entries sorted by number: a counting sort. */
function byNumber({ numbers, instances, weights, size }: Postings, count: number): SortedPostings {
  const starts = new Int32Array(count + 1);
  for (let at = 0; at < size; at++) starts[numbers[at] + 1]++;
  for (let number = 0; number < count; number++) starts[number + 1] += starts[number];
  const next = starts.slice();
  const sorted = { instances: new Int32Array(size), weights: new Float64Array(size) };
  for (let at = 0; at < size; at++) {
    const to = next[numbers[at]]++;
    sorted.instances[to] = instances[at];
    sorted.weights[to] = weights[at];
  }
  return { starts, ...sorted };
}
