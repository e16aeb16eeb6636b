import { randomInstances } from "../../lib/instance/random";
import { instancesFrom } from "../analysis/instances";
import { rejects } from "../results/refuses";

describe("random instances", () => {
  const train = instancesFrom(
    Array.from({ length: 100 }, () => [1]),
    "t",
  );
  const queries = instancesFrom([[1], [1], [1]], "q");

  test("the same seed gives the same scores, another seed others", async () => {
    const scores = async (seed: number) => [...(await randomInstances(train, queries, { seed })).scores];
    expect(await scores(42)).toEqual(await scores(42));
    expect(await scores(42)).not.toEqual(await scores(60));
  });

  test("queries get rankings of their own that do not depend on how many queries there are", async () => {
    const all = (await randomInstances(train, queries)).scores;
    const one = (await randomInstances(train, instancesFrom([[1]]))).scores;
    expect([...all.subarray(0, 100)]).toEqual([...one]);
    expect([...all.subarray(100, 200)]).not.toEqual([...one]);
    expect(all.every((score) => score >= 0 && score <= 1)).toBe(true);
  });

  test("says that no model made it", async () => {
    expect(await randomInstances(train, queries)).toMatchObject({
      queries: 3,
      train: 100,
      provenance: { method: "random", modelHash: "", options: { seed: 42 } },
    });
  });

  test("an abort, an empty training set and a broken seed are refused", async () => {
    await rejects("aborted", () => randomInstances(train, queries, { signal: AbortSignal.abort() }));
    await rejects("invalid", () => randomInstances(instancesFrom([]), queries));
    await rejects("invalid", () => randomInstances(train, queries, { seed: -1 }), /seed/);
  });
});
