// Scores of every query's neuron list against every training instance's, through an index of the neurons that queries list.
// Notation: q query, z training instance, u neuron, rank 0-based. Which neurons are listed is na-instances.ts's matter.
import { dcg } from "../statistics";

/** Per instance its neurons, best first, and their scores. */
export interface NeuronLists {
  readonly neurons: readonly Int32Array[];
  readonly scores: readonly Float32Array[];
  /** Neurons there are; a neuron is layer · units + unit. */
  readonly allNeurons: number;
}

/** NDCG [query, train]: relevance is the query's score, position the training instance's rank. */
export function ndcgScores(queries: NeuronLists, train: NeuronLists): Float32Array {
  const placesOf = indexNeurons(queries, train);
  const scores = new Float32Array(queries.neurons.length * train.neurons.length);
  const gains = new Float64Array(train.neurons.length);
  queries.neurons.forEach((neurons, query) => {
    const relevance = queries.scores[query];
    const ideal = dcg(relevance);
    if (!(ideal > 0)) return;
    gains.fill(0);
    neurons.forEach((neuron, at) => {
      const { instances, ranks } = placesOf(neuron);
      for (let i = 0; i < instances.length; i++) {
        const instance = instances[i];
        gains[instance] += relevance[at] / Math.log2(ranks[i] + 2);
      }
    });
    const first = query * gains.length;
    for (let instance = 0; instance < gains.length; instance++) scores[first + instance] = gains[instance] / ideal;
  });
  return scores;
}

/** The paper's score [query, train]: Σ over shared neurons of (2^z − 1) / log2(rank + 2), z within the training instance's list. */
export function paperScores(queries: NeuronLists, train: NeuronLists, singleNeuronFirst: boolean): Float32Array {
  const placesOf = indexNeurons(queries, train);
  const standardised = train.scores.map((list) => zScores(list, singleNeuronFirst));
  const scores = new Float32Array(queries.neurons.length * train.neurons.length).fill(-Infinity);
  const gains = new Float64Array(train.neurons.length);
  queries.neurons.forEach((neurons, query) => {
    gains.fill(-Infinity);
    for (const neuron of neurons) {
      const { instances, ranks } = placesOf(neuron);
      for (let i = 0; i < instances.length; i++) {
        const [instance, rank] = [instances[i], ranks[i]];
        const z = standardised[instance][rank];
        const before = gains[instance];
        gains[instance] = (before === -Infinity ? 0 : before) + (2 ** z - 1) / Math.log2(rank + 2);
      }
    }
    scores.set(gains, query * gains.length);
  });
  return scores;
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

interface Places {
  readonly instances: readonly number[];
  readonly ranks: readonly number[];
}

/** For each neuron that a query lists, the training instances that list it and its rank there. */
function indexNeurons(queries: NeuronLists, train: NeuronLists): (neuron: number) => Places {
  const wanted = new Int32Array(queries.allNeurons).fill(-1);
  const places: { instances: number[]; ranks: number[] }[] = [];
  for (const neurons of queries.neurons) {
    for (const neuron of neurons) {
      if (wanted[neuron] === -1) wanted[neuron] = places.push({ instances: [], ranks: [] }) - 1;
    }
  }
  train.neurons.forEach((neurons, instance) => {
    for (let rank = 0; rank < neurons.length; rank++) {
      const at = wanted[neurons[rank]];
      if (at < 0) continue;
      const place = places[at];
      place.instances.push(instance);
      place.ranks.push(rank);
    }
  });
  return (neuron) => places[wanted[neuron]];
}
