import { createRandom, sampleWithout, shuffle } from "../lib/random";
import { mean } from "../lib/statistics";
import { refuses } from "./results/refuses";

const draws = <T>(count: number, draw: () => T) => Array.from({ length: count }, draw);

describe("random", () => {
  test("a seed gives the same words on every machine", () => {
    expect(draws(4, createRandom(42).word)).toEqual([2721288789, 1891201578, 2414000136, 3596890352]);
    expect(draws(2, createRandom(0).word)).toEqual([3392437229, 603823091]);
  });

  test("seeds and streams of one seed differ", () => {
    const first = [
      createRandom(1),
      createRandom(2),
      createRandom(1, 0),
      createRandom(1, 1),
      createRandom(2 ** 32 + 1),
    ].map((random) => random.word());
    expect(new Set(first).size).toBe(first.length);
  });

  test("uniform numbers lie within 0 and 1 and average one half", () => {
    const values = draws(20_000, createRandom(5).uniform);
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(Math.abs(mean(values) - 0.5)).toBeLessThan(0.01);
  });

  test("normal numbers have mean 0 and variance 1", () => {
    const values = draws(20_000, createRandom(6).normal);
    expect(Math.abs(mean(values))).toBeLessThan(0.03);
    expect(Math.abs(mean(values.map((value) => value ** 2)) - 1)).toBeLessThan(0.05);
  });

  test("every number below n is equally likely", () => {
    const random = createRandom(7);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[random.below(6)]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });

  test("shuffling keeps the items and leaves the given list alone", () => {
    const items = [1, 2, 3, 4, 5, 6, 7, 8];
    const shuffled = shuffle(items, createRandom(1));
    expect(items).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(shuffled).not.toEqual(items);
    expect([...shuffled].sort()).toEqual(items);
  });

  test("sampling without replacement draws distinct numbers, each set equally often", () => {
    const random = createRandom(3);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const drawn = sampleWithout(4, 2, random);
      expect(drawn[0]).not.toBe(drawn[1]);
      const key = [...drawn].sort().join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  test("sampling all numbers is a permutation, sampling few of many draws no more than them", () => {
    expect([...sampleWithout(50, 50, createRandom(1))].sort((a, b) => a - b)).toEqual(
      draws(
        50,
        (
          (next) => () =>
            next++
        )(0),
      ),
    );
    let calls = 0;
    const random = createRandom(1);
    const counting = {
      ...random,
      below(n: number) {
        calls++;
        return random.below(n);
      },
    };
    expect(new Set(sampleWithout(2 ** 31, 5, counting)).size).toBe(5); // 2^31 numbers would not fit into memory
    expect(calls).toBe(5);
  });

  test("a negative or broken seed and too large a sample are refused", () => {
    refuses("invalid", () => createRandom(-1));
    refuses("invalid", () => createRandom(1.5));
    refuses("invalid", () => sampleWithout(3, 4, createRandom(1)));
    refuses("invalid", () => createRandom(1).below(0));
  });
});
