// EK-FAC's factors on disk: stored = fresh, and every difference is refused by name.
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { type EkfacOptions, fitEkfac } from "../../lib/instance/ekfac/ekfac-factors";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { native } from "../../lib/native";
import { relativeDifference } from "../model/golden-cases";
import { open } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { type GoldenPair, goldenPair } from "./golden-pair";

let pair: GoldenPair;
let root: string;
let folders = 0;
const folder = (): string => join(root, `factors ${folders++}`);
beforeAll(async () => {
  pair = await goldenPair("float64");
  root = await mkdtemp(join(tmpdir(), "attribution-ekfac-"));
});
afterAll(async () => {
  pair.model.close();
  await rm(root, { recursive: true, force: true });
});

const fit = (directory: string, options?: EkfacOptions) => fitEkfac(pair.model, pair.train, directory, options);
const run = (options: InfluenceOptions) =>
  influence(pair.model, pair.train, pair.queries, { inverse: "ekfac", ...options });

test.each(["float64", "float32"] as const)(
  "stored factors in %s give the scores of fresh ones, within the rounding of sums",
  async (dtype) => {
    const { model, train, queries } = await goldenPair(dtype);
    for (const parameters of ["head", "linear"] as const) {
      const options = { parameters, seed: 5, damping: 0.2 };
      const directory = folder();
      const factors = await fitEkfac(model, train, directory, { parameters, seed: 5 });
      const fresh = await influence(model, train, queries, { inverse: "ekfac", ...options });
      const stored = await influence(model, train, queries, { inverse: "ekfac", damping: 0.2, factors: directory });
      // A map is aligned otherwise, so some processors sum in another order.
      expect(relativeDifference(stored.scores, fresh.scores)).toBeLessThan(dtype === "float64" ? 1e-12 : 5e-6);
      expect(stored.provenance.options).toEqual(fresh.provenance.options);
      expect(factors).toMatchObject({
        kind: "ekfacFactors",
        directory,
        seed: 5,
        reduction: "sum",
        fisher: "sampled",
        dtype,
        modelHash: model.hash,
        dataHash: train.hash,
      });
    }
    model.close();
  },
);

test("the same call again opens them and fits nothing", async () => {
  const directory = folder();
  const first = await fit(directory);
  const spy = jest.spyOn(native(), "fitEkfac");
  expect(await fit(directory)).toEqual(first);
  expect(spy).not.toHaveBeenCalled();
  spy.mockRestore();
});

test("an aborted fit leaves a folder that the next call takes", async () => {
  const directory = folder();
  await expect(fit(directory, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
  await expect(run({ factors: directory })).rejects.toMatchObject(refusal("missing", /fitEkfac/));
  await fit(directory);
  expect((await run({ factors: directory })).scores.every(Number.isFinite)).toBe(true);
});

describe("refuse", () => {
  let stored: string;
  beforeAll(async () => {
    stored = folder();
    await fit(stored);
  });

  test.each<[string, EkfacOptions, RegExp]>([
    ["other parameters", { parameters: "head" }, /with parameters \[.*mlp.*\["score"\]/],
    ["another Fisher", { fisher: "empirical" }, /with fisher "sampled"/],
    ["another seed", { seed: 1 }, /with seed 42, but this call has 1/],
    ["another reduction", { reduction: "mean" }, /with reduction "sum"/],
  ])("%s", async (_name, options, message) => {
    await expect(fit(stored, options)).rejects.toMatchObject(refusal("mismatch", message));
    await expect(run({ factors: stored, ...options })).rejects.toMatchObject(refusal("mismatch", message));
  });

  test("another model, the same in another type, and other data", async () => {
    using other = await open("opt-classification", { dtype: "float64" });
    await expect(
      influence(other, pair.train, pair.queries, { inverse: "ekfac", factors: stored }),
    ).rejects.toMatchObject(refusal("mismatch", /the model "/));
    using single = await open("influence", { dtype: "float32" });
    await expect(
      influence(single, pair.train, pair.queries, { inverse: "ekfac", factors: stored }),
    ).rejects.toMatchObject(refusal("mismatch", /the model/));
    const fewer = selectInstances(pair.train, [0, 1, 2]);
    await expect(
      influence(pair.model, fewer, pair.queries, { inverse: "ekfac", factors: stored }),
    ).rejects.toMatchObject(refusal("mismatch", /the training data/));
    await expect(fitEkfac(pair.model, fewer, stored)).rejects.toMatchObject(refusal("mismatch", /the training data/));
  });

  test("factors with another inverse, and folders that hold none", async () => {
    await expect(run({ inverse: "cg", factors: stored })).rejects.toMatchObject(refusal("invalid", /"factors".*"cg"/));
    await expect(run({ factors: join(root, "nowhere") })).rejects.toMatchObject(refusal("missing", /fitEkfac/));
    await expect(run({ factors: "" })).rejects.toMatchObject(refusal("invalid", /"factors"/));
    await writeFile(join(root, "foreign.txt"), "");
    await expect(fit(root)).rejects.toMatchObject(refusal("invalid", /other files/));
  });

  test("damaged files", async () => {
    const directory = folder();
    await fit(directory);
    const manifest = join(directory, "manifest.json");
    const text = await readFile(manifest, "utf8");
    await writeFile(manifest, text.replace('"seed": 42', '"seed": 43'));
    await expect(run({ factors: directory })).rejects.toMatchObject(refusal("corrupt", /changed/));
    await writeFile(manifest, text);
    const factors = join(directory, "factors.safetensors");
    const bytes = await readFile(factors);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(factors, bytes);
    await expect(run({ factors: directory })).rejects.toMatchObject(refusal("corrupt", /not what was written/));
    await expect(fit(directory)).rejects.toMatchObject(refusal("corrupt", /fit them again/));
    await truncate(factors, 2000);
    await expect(run({ factors: directory })).rejects.toMatchObject({ code: "corrupt" });
  });
});
