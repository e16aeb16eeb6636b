// The store on disk: what it holds, how it resumes, what it refuses.
import { spawn } from "node:child_process";
import { cp, link as hardLink, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendToGradientStore, buildGradientStore, openGradientStore } from "../../lib/instance/gradient-store";
import { planGradientStore } from "../../lib/instance/store/plan";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import type { GradientStoreOptions } from "../../lib/instance/store/options";
import { concatInstances, createInstances, selectInstances } from "../../lib/data/instances";
import { readSafetensors } from "../../lib/storage/safetensors";
import type { Progress } from "../../types/common";
import type { GradientStore } from "../../types/store";
import type { Model } from "../../types/model";
import { midSizeInstances, midSizeModel } from "../engine/mid-size";
import { open, raggedInstances } from "../model/golden-tensors";
import { relativeDifference } from "../model/golden-cases";
import { refusal } from "../storage/refusal";
import { featuresOf, rowsOf, settingsFor } from "./feature-algebra";
import { killedOptions, killedRows } from "./store-options";

let root: string;
let model: Model;
let count = 0;
const folder = () => join(root, `store-${count++}`);
const train = raggedInstances("classification", 20);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attribution-store-test-"));
  model = await open("opt-classification");
});
afterAll(async () => {
  model.close();
  await rm(root, { recursive: true, force: true });
});

async function filesOf(directory: string): Promise<Record<string, string>> {
  const names = (await readdir(directory)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, (await readFile(join(directory, name))).toString("base64")])),
  );
}

/** The stored features as numbers. */
async function storedRows(store: GradientStore): Promise<number[]> {
  const half = (bits: number) => {
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  };
  const values: number[] = [];
  for (const { file, rows } of store.shards) {
    const tensors = await readSafetensors(join(store.directory, file));
    const bytes = await readFile(join(store.directory, file));
    const at = (name: string) => tensors.find((tensor) => tensor.name === name)!.offset;
    const [features, width] = [at("features"), store.width];
    for (let i = 0; i < rows * width; i++) {
      const [row, column] = [Math.floor(i / width), i % width];
      if (store.precision === "float32") values.push(bytes.readFloatLE(features + 4 * i));
      else if (store.precision === "float16") values.push(half(bytes.readUInt16LE(features + 2 * i)));
      else if (store.precision === "bfloat16")
        values.push(new Float32Array(Uint32Array.of(bytes.readUInt16LE(features + 2 * i) << 16).buffer)[0]);
      else
        values.push(
          bytes.readInt8(features + i) *
            bytes.readFloatLE(
              at("scales") +
                4 *
                  (row * store.segments.length + store.segments.findIndex(({ begin, size }) => column < begin + size)),
            ),
        );
    }
  }
  return values;
}

describe("a store holds the features", () => {
  // Rounding: half a unit of the last kept bit, relative to the value; int8 relative to the largest of row and module.
  test.each([
    ["float32", 0],
    ["float16", 2 ** -11],
    ["bfloat16", 2 ** -8],
    ["int8", 0.5 / 127],
  ] as const)("in %s within %d of them", async (precision, bound) => {
    const store = await buildGradientStore(model, train, folder(), { rank: 6, precision, rowsPerShard: 7 });
    const { rows } = await featuresOf(model, train, settingsFor(model, "linear", { rank: 6 }));
    const stored = rowsOf(await storedRows(store), train.size);
    expect(store.shards.map((shard) => shard.rows)).toEqual([7, 7, 6]);
    rows.forEach((row, r) =>
      store.segments.forEach(({ begin, size }) => {
        const largest = Math.max(...row.slice(begin, begin + size).map(Math.abs));
        for (let i = begin; i < begin + size; i++) {
          const scale = precision === "int8" ? largest : Math.abs(row[i]);
          expect(Math.abs(stored[r][i] - row[i])).toBeLessThanOrEqual(
            bound * scale * 1.001 + (precision === "float16" ? 2 ** -25 : 1e-7 * largest),
          );
        }
      }),
    );
  });

  test("whatever the batches and the shards", async () => {
    const rows = async (options: GradientStoreOptions) =>
      storedRows(await buildGradientStore(model, train, folder(), { rank: 6, precision: "float32", ...options }));
    const whole = await rows({});
    expect(relativeDifference(await rows({ rowsPerShard: 3 }), whole)).toBe(0);
    expect(relativeDifference(await rows({ batchTokens: 10 }), whole)).toBeLessThan(1e-4); // order of sums
  });

  test("with ids, modules, sizes and hashes; and opens without a model", async () => {
    const built = await buildGradientStore(model, train, folder(), { rank: 4, parameters: "mlp" });
    const store = await openGradientStore(built.directory, { verify: "contents" });
    expect(store).toEqual(built);
    expect(store).toMatchObject({
      kind: "gradientStore",
      rows: 20,
      trainIds: train.ids,
      modelHash: model.hash,
      dataHash: train.hash,
      precision: "bfloat16",
    });
    expect(store.segments.every(({ size }) => size === 16)).toBe(true);
    expect(store.width).toBe(16 * store.segments.length);
    expect(Object.isFrozen(store)).toBe(true);
    const files = await filesOf(built.directory);
    expect(Object.keys(files)).toEqual(["features-00000.safetensors", "flags", "ids-0.safetensors", "manifest.json"]);
  });

  test("tells its throughput and the time left, and the plan the bytes", async () => {
    const seen: Progress[] = [];
    const mid = await midSizeModel();
    const instances = midSizeInstances(60);
    const store = await buildGradientStore(mid, instances, folder(), {
      rank: 4,
      batchTokens: 256,
      onProgress: (progress) => seen.push(progress),
    });
    const timed = seen.filter(({ tokensPerSecond }) => tokensPerSecond !== undefined);
    expect(timed.length).toBeGreaterThan(2);
    expect(timed.at(-1)!.secondsLeft).toBe(0);
    expect(timed[0].secondsLeft).toBeGreaterThan(0);
    const plan = await planGradientStore(mid, instances, { rank: 4, batchTokens: 256 });
    expect(plan).toMatchObject({
      rows: 60,
      width: store.width,
      bytesOnDisk: store.bytes,
      tokens: instances.tokens.length,
    });
    expect(plan.seconds).toBeGreaterThan(0);
    expect(plan.bytesFree).toBeGreaterThan(0);
    mid.close();
  });
});

test("files of a store that are links are never written through", async () => {
  const [directory, elsewhere] = [folder(), `${folder()}.txt`];
  await writeFile(elsewhere, "mine");
  const controller = new AbortController();
  const begun = buildGradientStore(model, train, directory, {
    rank: 6,
    batchTokens: 8,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await expect(begun).rejects.toMatchObject(refusal("aborted", /./));
  for (const name of ["flags", "features-00000.safetensors"]) {
    const path = join(directory, name);
    const own = await readFile(path);
    for (const link of [symlink, hardLink]) {
      await rm(path);
      await link(elsewhere, path);
      await expect(buildGradientStore(model, train, directory, { rank: 6, batchTokens: 8 })).rejects.toMatchObject({
        name: "AttributionError",
      });
    }
    expect(await readFile(elsewhere, "utf8")).toBe("mine");
    await rm(path);
    await writeFile(path, own);
  }
  expect((await buildGradientStore(model, train, directory, { rank: 6, batchTokens: 8 })).rows).toBe(20);
});

describe("a build that is stopped", () => {
  test("by SIGKILL goes on where it stood and ends bit for bit as one that was not", async () => {
    const directory = folder();
    const child = spawn(
      process.execPath,
      ["--require", join(__dirname, "../engine/typescript.cjs"), join(__dirname, "store-build.ts"), directory],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const ended = new Promise((resolve) => {
      child.once("exit", (_code, signal) => resolve(signal));
    });
    let said = "";
    child.stdout.on("data", (text: Buffer) => {
      said += text.toString();
      if (said.split("\n").some((line) => Number(line) >= 150)) child.kill("SIGKILL");
    });
    expect(await ended).toBe("SIGKILL");
    const flags = await readFile(join(directory, "flags"));
    const written = flags.reduce((sum, flag) => sum + flag, 0);
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(killedRows);
    await expect(openGradientStore(directory)).rejects.toMatchObject(refusal("missing", /not finished/));
    const mid = await midSizeModel();
    const seen: Progress[] = [];
    const resumed = await buildGradientStore(mid, midSizeInstances(killedRows), directory, {
      ...killedOptions,
      onProgress: (progress) => seen.push(progress),
    });
    const whole = await buildGradientStore(mid, midSizeInstances(killedRows), folder(), killedOptions);
    expect(await filesOf(resumed.directory)).toEqual(await filesOf(whole.directory));
    mid.close();
  });

  test("by an abort, too; and a finished one is opened, not made again", async () => {
    const directory = folder();
    const controller = new AbortController();
    const options = {
      rank: 6,
      batchTokens: 8,
      signal: controller.signal,
      onProgress: ({ done }: Progress) => {
        if (done > 5) controller.abort();
      },
    };
    await expect(buildGradientStore(model, train, directory, options)).rejects.toMatchObject(
      refusal("aborted", /abort/),
    );
    await buildGradientStore(model, train, directory, { rank: 6, batchTokens: 8 });
    const whole = await buildGradientStore(model, train, folder(), { rank: 6, batchTokens: 8 });
    expect(await filesOf(directory)).toEqual(await filesOf(whole.directory));
    const stages: string[] = [];
    expect(
      (
        await buildGradientStore(model, train, directory, {
          rank: 6,
          batchTokens: 8,
          onProgress: ({ stage }) => stages.push(stage),
        })
      ).rows,
    ).toBe(20);
    expect(stages).toEqual([]);
  });

  test("is not hidden by another one: one call at a time writes a store, and the other is refused at once", async () => {
    const directory = folder();
    const [first, second] = [1, 2].map(() => buildGradientStore(model, train, directory, { rank: 6 }));
    const answers = await Promise.allSettled([first, second]);
    expect(answers.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const refused = answers.find(({ status }) => status === "rejected") as PromiseRejectedResult;
    expect(refused.reason).toMatchObject(refusal("invalid", /Another call is writing a gradient store in .*wait/));
    const whole = await buildGradientStore(model, train, folder(), { rank: 6 });
    expect(await filesOf(directory)).toEqual(await filesOf(whole.directory));
  });
});

test("appended instances score as those of one store of all", async () => {
  const [first, second] = [selectInstances(train, [0, 1, 2, 3, 4, 5, 6]), selectInstances(train, [7, 8, 9, 10, 11])];
  const directory = folder();
  await buildGradientStore(model, first, directory, { rank: 6, precision: "float32" });
  const store = await appendToGradientStore(model, second, directory);
  expect(store.trainIds).toEqual([...first.ids, ...second.ids]);
  const whole = await buildGradientStore(model, concatInstances([first, second]), folder(), {
    rank: 6,
    precision: "float32",
  });
  const scores = async (of: GradientStore) =>
    (await storeSimilarity(of, await queryFeatures(model, train, of), { preconditioner: "gaussNewton" })).scores;
  expect(relativeDifference(await scores(store), await scores(whole))).toBeLessThan(1e-3); // other batches, then a damped inverse
  await expect(buildGradientStore(model, first, directory, { rank: 6, precision: "float32" })).rejects.toMatchObject(
    refusal("mismatch", /7 rows.*and 5 rows/),
  );
});

describe("refuses", () => {
  const options = { rank: 4 } as const;
  let directory: string;
  beforeAll(async () => {
    directory = folder();
    await buildGradientStore(model, train, directory, options);
  });

  test.each<[string, GradientStoreOptions, RegExp]>([
    ["another rank", { rank: 5 }, /rank 4.*has 5/],
    ["another seed", { rank: 4, seed: 1 }, /seed 42/],
    ["other parameters", { rank: 4, parameters: "mlp" }, /parameters/],
    ["another projection", { rank: 4, projection: "rademacher" }, /projection "gaussian"/],
    ["another precision", { rank: 4, precision: "int8" }, /precision "bfloat16"/],
    ["other shards", { rank: 4, rowsPerShard: 4 }, /rowsPerShard/],
    ["another loss", { rank: 4, reduction: "mean" }, /reduction/],
  ])("%s, naming it", async (_name, changed, words) => {
    await expect(buildGradientStore(model, train, directory, changed)).rejects.toMatchObject(
      refusal("mismatch", words),
    );
  });

  test("other data and another model", async () => {
    await expect(
      buildGradientStore(model, raggedInstances("classification", 6), directory, options),
    ).rejects.toMatchObject(refusal("mismatch", /other data \(20 rows/));
    using other = await open("gpt2-classification");
    await expect(buildGradientStore(other, train, directory, options)).rejects.toMatchObject(
      refusal("mismatch", /the model/),
    );
    await expect(queryFeatures(other, train, await openGradientStore(directory))).rejects.toMatchObject(
      refusal("mismatch", /another model/),
    );
    using wide = await open("opt-classification", { dtype: "float64" });
    await expect(queryFeatures(wide, train, await openGradientStore(directory))).rejects.toMatchObject(
      refusal("mismatch", /./),
    );
  });

  test("a damaged store, naming the file", async () => {
    const damaged = async (hurt: (path: string) => Promise<unknown>) => {
      const path = folder();
      await cp(directory, path, { recursive: true });
      await hurt(path);
      return path;
    };
    const shard = "features-00000.safetensors";
    const cut = await damaged((path) => truncate(join(path, shard), 1000));
    await expect(openGradientStore(cut)).rejects.toMatchObject(refusal("corrupt", /features-00000/));
    const overwritten = await damaged(async (path) => {
      const bytes = await readFile(join(path, shard));
      bytes[bytes.length - 1] ^= 1;
      await writeFile(join(path, shard), bytes);
    });
    expect((await openGradientStore(overwritten)).rows).toBe(20);
    await expect(openGradientStore(overwritten, { verify: "contents" })).rejects.toMatchObject(
      refusal("corrupt", /contents/),
    );
    await expect(buildGradientStore(model, train, overwritten, options)).rejects.toMatchObject(
      refusal("corrupt", /Remove the store and build it again/),
    );
    const edited = await damaged(async (path) =>
      writeFile(
        join(path, "manifest.json"),
        (await readFile(join(path, "manifest.json"), "utf8")).replace('"rank": 4', '"rank": 8'),
      ),
    );
    await expect(openGradientStore(edited)).rejects.toMatchObject(refusal("corrupt", /manifest/));
    const torn = await damaged((path) => writeFile(join(path, "manifest.json"), "{"));
    await expect(buildGradientStore(model, train, torn, options)).rejects.toMatchObject(refusal("corrupt", /JSON/));
    const lost = await damaged((path) => rm(join(path, shard)));
    await expect(openGradientStore(lost)).rejects.toMatchObject(refusal("missing", /features-00000/));
  });

  test("a folder with other files, one without a store, and options that are none", async () => {
    const other = folder();
    await cp(join(__dirname, "../engine"), other, { recursive: true });
    await expect(buildGradientStore(model, train, other, options)).rejects.toMatchObject(
      refusal("invalid", /other files/),
    );
    await expect(openGradientStore(other)).rejects.toMatchObject(refusal("missing", /no gradient store/));
    for (const [bad, code, words] of [
      [{ rank: -1 }, "invalid", /"rank"/],
      [{ precision: "float8" }, "invalid", /"precision"/],
      [{ ranks: 4 }, "unknown", /"ranks"/],
      [{ rowsPerShard: 0 }, "invalid", /"rowsPerShard"/],
    ] as const) {
      await expect(buildGradientStore(model, train, folder(), bad as object)).rejects.toMatchObject(
        refusal(code, words),
      );
    }
    await expect(
      buildGradientStore(model, createInstances({ kind: "causalLM", rows: [[4, 5]] }), folder(), options),
    ).rejects.toMatchObject(refusal("mismatch", /"train"/));
  });
});
