// Exports, held against golden files that pandas and numpy have read (make-export-golden.py), and against the results themselves.
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { toCsv } from "../../lib/results/export/to-csv";
import { toJson } from "../../lib/results/export/to-json";
import { toNpy } from "../../lib/results/export/to-npy";
import { toParquet } from "../../lib/results/export/to-parquet";
import { top } from "../../lib/results/top";
import type { NeuronFaithfulness } from "../../types/results";
import type { TopInstances } from "../../types/store";
import { longestHold, shortestHold } from "../data/event-loop";
import { scratch } from "../storage/bytes";
import { rejects } from "./refuses";
import { instancesOf, neuronsOf, provenanceOf } from "./sample";

const directory = scratch();
const golden = join(__dirname, "export");

const awkward = ['comma, and "quotes"', "line\nbreak", "NA", "", "Ünï→😀", "-5"];
const instances = instancesOf(
  [
    [1, -2.5, NaN, 1e-38],
    [Infinity, -Infinity, 0.1, 16777217],
    [-0, 1 / 3, 3.4e38, 7],
  ],
  { queryIds: awkward.slice(0, 3), trainIds: [...awkward.slice(3), "t3"] },
);
const neurons = neuronsOf([Array.from({ length: 6 }, (_, i) => i / 7), [6, 5, 4, 3, 2, 1]], 2, {
  instanceIds: ["a", "b"],
});
const best: TopInstances = {
  ...instancesOf([[0, 0, 0]]),
  kind: "topInstances",
  k: 2,
  indices: Int32Array.of(2, 0),
  scores: Float32Array.of(0.7, 0.2),
};
const estimate = (mean: number) => ({ mean, low: mean - 1, high: mean + 1 });
const curve: NeuronFaithfulness = {
  test: "sufficiency",
  site: "neurons",
  points: [1, 10].map((r) => ({
    r,
    probabilityChange: estimate(-0.25 * r),
    changedPredictions: estimate(0.5),
    randomProbabilityChange: estimate(0),
    randomChangedPredictions: estimate(0.125),
  })),
  aopc: -1,
  randomAopc: 0,
  provenance: provenanceOf("sufficiency"),
};

const tables: Readonly<Record<string, unknown>> = { instances, neurons, best, curve, list: top(neurons, 0, 3) };

/** Writes every golden file into a folder; the ones with scores as arrays too. */
async function writeAll(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const [name, result] of Object.entries(tables)) {
    await toCsv(result, join(folder, `${name}.csv`));
    await toParquet(result, join(folder, `${name}.parquet`));
  }
  for (const [name, result] of Object.entries({ instances, neurons })) {
    await toJson(result, join(folder, `${name}.json`));
    await toNpy(result, join(folder, `${name}.npy`));
  }
}

test("the golden files come out again, byte for byte", async () => {
  if (process.env["WRITE_GOLDEN"] === "1") await writeAll(golden);
  await writeAll(join(directory, "again"));
  const names = readdirSync(join(directory, "again"));
  expect(names.length).toBe(14);
  for (const name of names)
    expect([name, readFileSync(join(directory, "again", name)).equals(readFileSync(join(golden, name)))]).toEqual([
      name,
      true,
    ]);
});

test("pandas and numpy read from them what the results hold", () => {
  const seen = JSON.parse(readFileSync(join(golden, "seen.json"), "utf8")) as Record<string, any>;
  expect(seen["instances"]).toMatchObject({
    columns: ["query", "query_id", "train", "train_id", "score"],
    types: ["int32", expect.stringMatching(/object|str/), "int32", expect.stringMatching(/object|str/), "float32"],
    rows: 12,
    ids: [awkward.slice(0, 3).flatMap((id) => [id, id, id, id]), [1, 2, 3].flatMap(() => instances.trainIds)],
  });
  const scores = (seen["instances"].score as (string | null)[]).map((score) =>
    score === null ? NaN : Number(score.replace("inf", "Infinity")),
  );
  expect(Float32Array.from(scores)).toEqual(instances.scores);
  expect(seen["best"]).toMatchObject({ columns: ["query", "query_id", "rank", "train", "train_id", "score"], rows: 2 });
  expect(seen["neurons"].columns).toEqual(["instance", "instance_id", "site", "layer", "unit", "score"]);
  expect(seen["curve"].columns.slice(0, 4)).toEqual([
    "r",
    "probability_change_mean",
    "probability_change_low",
    "probability_change_high",
  ]);
  expect(seen["list"].columns).toEqual(["index", "score", "layer", "unit"]);
  expect(seen["instances.npy"]).toMatchObject({ dtype: "<f4", shape: [3, 4] });
  expect(seen["neurons.npy"]).toMatchObject({ dtype: "<f4", shape: [2, 2, 3] });
});

test("another array of a result is written by its name", async () => {
  const path = join(directory, "values.npy");
  await toNpy(neurons, path, { array: "targetValues" });
  const bytes = readFileSync(path);
  expect(bytes.toString("latin1", 10, 70)).toMatch(/'<f8', 'fortran_order': False, 'shape': \(2,\)/);
  expect(
    new Float64Array(bytes.buffer.slice(bytes.byteOffset + bytes.length - 16, bytes.byteOffset + bytes.length)),
  ).toEqual(neurons.targetValues);
});

describe("large results", () => {
  const large = instancesOf(Array.from({ length: 30 }, (_, q) => Array.from({ length: 1000 }, (__, t) => q * t)));
  test.each([
    ["toCsv", toCsv],
    ["toJson", toJson],
    ["toNpy", toNpy],
    ["toParquet", toParquet],
  ] as const)("%s shares the event loop, tells its progress, and can be aborted", async (name, write) => {
    const path = join(directory, `${name}.out`);
    expect(await shortestHold(() => write(large, path))).toBeLessThan(longestHold);
    const stop = new AbortController();
    stop.abort("enough");
    await rejects("aborted", () => write(large, join(directory, "never"), { signal: stop.signal }));
    expect(readdirSync(directory).filter((file) => file.startsWith("never"))).toEqual([]);
  });
});

test("what is no table, no array, no path and no option is refused", async () => {
  await rejects("unsupported", () => toCsv({ kind: "other" }, join(directory, "x")), /toJson/);
  await rejects("unsupported", () => toParquet(5, join(directory, "x")));
  await rejects("unsupported", () => toCsv([{ a: 1 }, { a: "b" }], join(directory, "x")), /"a"/);
  await rejects("unknown", () => toNpy(neurons, join(directory, "x"), { array: "score" }), /"targetValues"/);
  for (const none of ["text", [null], {}, new Map([[1, 2]]), { kind: "instances" }, { kind: "gradientStore" }])
    await rejects("invalid", () => toJson(none, join(directory, "x")), /"result"/);
  await rejects("invalid", () => toJson({ run: () => 1 }, join(directory, "x")), /"run"/);
  await rejects("invalid", () => toCsv(instances, ""), /path/);
  await rejects("unknown", () => toCsv(instances, join(directory, "x"), { separator: ";" } as never));
});
