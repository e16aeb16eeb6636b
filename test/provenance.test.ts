import { isSameModel, libraryVersion, provenance } from "../lib/provenance";

describe("provenance", () => {
  test("keeps method, options, hashes and versions, frozen", () => {
    const made = provenance({
      method: "influence",
      options: { seed: 42 },
      model: { hash: "abc", dtype: "bfloat16" },
      data: { train: { hash: "t" }, queries: { hash: "q" } },
      libtorch: "2.13.0",
    });
    expect(made).toEqual({
      method: "influence",
      options: { seed: 42 },
      modelHash: "abc",
      dataHashes: { train: "t", queries: "q" },
      versions: { attribution: libraryVersion(), libtorch: "2.13.0" },
      dtype: "bfloat16",
    });
    expect([made, made.options, made.dataHashes, made.versions].every(Object.isFrozen)).toBe(true);
  });

  test("without a model has an empty model hash", () => {
    expect(provenance({ method: "random", options: {}, data: {} })).toMatchObject({
      modelHash: "",
      dtype: "float64",
      versions: { libtorch: "" },
    });
  });

  test("of checkpoints goes with each of them, and of no model with any", () => {
    expect([
      isSameModel("a", "a"),
      isSameModel("a+b", "b"),
      isSameModel("b", "a+b"),
      isSameModel("", "a"),
      isSameModel("a", ""),
    ]).toEqual([true, true, true, true, true]);
    expect([isSameModel("a", "b"), isSameModel("a+b", "c"), isSameModel("ab", "a")]).toEqual([false, false, false]);
  });

  test("names the version of package.json", () => {
    expect(libraryVersion()).toBe((require("../package.json") as { version: string }).version);
  });
});
