// The radix sort against the definitions of an order and of ranks.
import { descendingOrder, orderSteps, rankSteps } from "../lib/ordering";
import { atOnce } from "../lib/pacing";
import { createRandom } from "../lib/random";
import { refuses } from "./results/refuses";

const random = createRandom(3);
const special = [0, -0, Infinity, -Infinity, 1e-45, -1e-45, 3.4e38, -3.4e38, 1, -1];
const draws: Readonly<Record<string, () => number>> = {
  "normal numbers": () => random.normal(),
  "few different numbers": () => random.below(5) - 2,
  "numbers at the limits of the type": () => special[random.below(special.length)],
  "one number": () => 7,
};

/** Each index once; every number at or behind the one before it, equal ones by index. That is what an order is. */
function expectOrder(order: Int32Array, values: ArrayLike<number>, sign: 1 | -1): void {
  const seen = new Uint8Array(values.length);
  for (const index of order) seen[index]++;
  const misplaced = order.findIndex((index, at) => {
    const before = order[at - 1];
    return (
      at > 0 && (sign * (values[index] - values[before]) < 0 || (values[index] === values[before] && index < before))
    );
  });
  expect([order.length, seen.indexOf(0), misplaced]).toEqual([values.length, -1, -1]);
}

/** Ranks by their definition: 1 + how many stand before, ties sharing their mean. */
const byCounting = (values: ArrayLike<number>) =>
  Float64Array.from(values, (own) => {
    let [before, equal] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      if (values[i] < own) before++;
      if (values[i] === own) equal++;
    }
    return before + (equal + 1) / 2;
  });

describe.each([
  ["float32", (values: readonly number[]) => Float32Array.from(values)],
  ["float64", (values: readonly number[]) => Float64Array.from(values)],
  ["plain", (values: readonly number[]) => values],
] as const)("an order of %s numbers", (_type, typed) => {
  // Each size has another width of digits.
  test.each(Object.keys(draws).flatMap((name) => [0, 1, 2, 300, 5000, 100_001].map((size) => [name, size] as const)))(
    "%s, %i of them, is one",
    (name, size) => {
      const values = typed(Array.from({ length: size }, draws[name]));
      expectOrder(descendingOrder(values), values, -1);
      expectOrder(atOnce(orderSteps(values, "ascending")), values, 1);
    },
  );

  test.each(Object.keys(draws))("ranks of %s equal counting", (name) => {
    const values = typed(Array.from({ length: 400 }, draws[name]));
    expect(atOnce(rankSteps(values, "ascending"))).toEqual(byCounting(values));
    expect(atOnce(rankSteps(values, "descending"))).toEqual(byCounting(Float64Array.from(values, (value) => -value)));
  });

  test("a NaN is refused by its index", () => {
    refuses("invalid", () => descendingOrder(typed([1, 2, NaN])), /at 2 is NaN/);
  });
});
