// The arithmetic of Shapley values, without a model: which coalitions to evaluate, and what their values make of each player.
import { createRandom, shuffle } from "../random";

export const mostExact = 16;

/** Asked for coalitions round by round, then told their values. Instances are games of their own with as many players. */
export interface Game {
  readonly rounds: number;
  /** Coalitions of a round, at most. */
  readonly round: number;
  /** Coalitions per instance, the full one included. */
  readonly evaluations: number;
  /** The players outside each coalition of a round. */
  outside(instance: number, round: number): number[][];
  /** Values of those coalitions, and that of the full one. */
  take(instance: number, round: number, values: Float64Array, all: number): void;
  /** Value of the empty coalition, once known. */
  none(instance: number): number;
  values(): { readonly values: Float64Array; readonly standardErrors: Float64Array };
}

/** Every coalition, once: value Σ_S |S|! (n − |S| − 1)! / n! (F(S ∪ i) − F(S)). */
export function exactGame(players: number, instances: number): Game {
  const count = 2 ** players;
  const values = new Float64Array(instances * players);
  const none = new Float64Array(instances);
  const weights = weightsOf(players);
  const sizes = Uint8Array.from({ length: count }, (_, coalition) => bits(coalition));
  const outside = Array.from({ length: count - 1 }, (_, coalition) =>
    Array.from({ length: players }, (_player, i) => i).filter((i) => (coalition >> i) % 2 === 0),
  );
  return {
    rounds: 1,
    round: count,
    evaluations: count,
    outside: () => outside, // the last coalition is the full one
    take: (instance, _round, found, all) => {
      const value = (coalition: number): number => (coalition === count - 1 ? all : found[coalition]);
      none[instance] = value(0);
      for (let coalition = 0; coalition < count; coalition++) {
        for (let i = 0; i < players; i++) {
          if ((coalition >> i) % 2 === 0)
            values[instance * players + i] +=
              weights[sizes[coalition]] * (value(coalition + 2 ** i) - value(coalition));
        }
      }
    },
    none: (instance) => none[instance],
    values: () => ({ values, standardErrors: new Float64Array(values.length) }),
  };
}

/** |S|! (n − |S| − 1)! / n! by the size of S. */
function weightsOf(players: number): Float64Array {
  const weights = new Float64Array(players);
  let choose = 1; // of players − 1, `size`
  for (let size = 0; size < players; size++) {
    weights[size] = 1 / (players * choose);
    choose = (choose * (players - 1 - size)) / (size + 1);
  }
  return weights;
}

function bits(value: number): number {
  let count = 0;
  for (let rest = value; rest > 0; rest >>= 1) count += rest & 1;
  return count;
}

export interface SampledSettings {
  readonly permutations: number;
  readonly antithetic: boolean;
  readonly seed: number;
}

/** Random orders: a player's contribution is what its joining adds. A sample is an order, or an order and its reverse. */
export function sampledGame(
  players: number,
  instances: number,
  { permutations, antithetic, seed }: SampledSettings,
): Game {
  const each = antithetic ? 2 : 1;
  const samples = permutations / each;
  const samplesAtOnce = Math.max(1, Math.min(samples, Math.floor(4096 / (each * players))));
  const rounds = Math.ceil(samples / samplesAtOnce);
  const [sums, squares, none] = [
    new Float64Array(instances * players),
    new Float64Array(instances * players),
    new Float64Array(instances),
  ];
  const ordersOf = (instance: number, round: number): number[][] => {
    const first = round * samplesAtOnce;
    return Array.from({ length: Math.min(samplesAtOnce, samples - first) }, (_, i) => {
      const order = shuffle(
        Array.from({ length: players }, (_player, k) => k),
        createRandom(seed, instance, first + i),
      );
      return antithetic ? [order, [...order].reverse()] : [order];
    }).flat();
  };
  return {
    rounds,
    round: samplesAtOnce * each * players + 1,
    evaluations: permutations * (players - 1) + 2,
    // Of an order the coalitions of its first 1 … n − 1 players; the empty one once per round.
    outside: (instance, round) => [
      Array.from({ length: players }, (_, i) => i),
      ...ordersOf(instance, round).flatMap((order) => order.slice(1).map((_, i) => order.slice(i + 1))),
    ],
    take: (instance, round, found, all) => {
      none[instance] = found[0];
      const own = new Float64Array(players);
      ordersOf(instance, round).forEach((order, k) => {
        const value = (size: number): number =>
          size === 0 ? found[0] : size === players ? all : found[1 + k * (players - 1) + size - 1];
        order.forEach((player, place) => {
          own[player] += (value(place + 1) - value(place)) / each;
        });
        if (k % each === each - 1) addSample(own, sums, squares, instance * players);
      });
    },
    none: (instance) => none[instance],
    values: () => ({
      values: sums.map((sum) => sum / samples),
      standardErrors: squares.map((square, i) => standardError(sums[i], square, samples)),
    }),
  };
}

function addSample(own: Float64Array, sums: Float64Array, squares: Float64Array, first: number): void {
  own.forEach((value, player) => {
    sums[first + player] += value;
    squares[first + player] += value * value;
  });
  own.fill(0);
}

function standardError(sum: number, squares: number, samples: number): number {
  if (samples < 2) return NaN;
  return Math.sqrt(Math.max(0, squares - (sum * sum) / samples) / (samples - 1) / samples);
}
