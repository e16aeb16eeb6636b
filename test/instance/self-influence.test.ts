import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fitEkfac } from "../../lib/instance/ekfac/ekfac-factors";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { selfInfluence, type SelfInfluenceOptions } from "../../lib/instance/self-influence";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";
import { type GoldenPair, goldenPair, selectionNames, selections } from "./golden-pair";

let root: string;
let pair: GoldenPair;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attribution-self-test-"));
  pair = await goldenPair("float64");
});
afterAll(async () => {
  pair.model.close();
  await rm(root, { recursive: true, force: true });
});

const diagonal = (scores: Float32Array, size: number) => Array.from({ length: size }, (_, i) => scores[i * (size + 1)]);

describe("self-influence of a model", () => {
  test.each(selectionNames)("of %s is by default the squared norm of PyTorch's gradients", async (name) => {
    const { scores, unit, provenance } = await selfInfluence(pair.model, pair.train, { parameters: selections[name] });
    expect(relativeDifference(scores, pair.wanted[`self.${name}`].data)).toBeLessThan(1e-6);
    expect(unit).toBe("squared norm of the loss gradient");
    expect(provenance).toMatchObject({
      method: "selfInfluence",
      options: { inverse: "identity" },
      dataHashes: { train: pair.train.hash },
    });
  });

  test.each<[string, Omit<InfluenceOptions, "preset">]>([
    ["cg", { inverse: "cg", tolerance: 1e-10, iterations: 500 }],
    ["lissa", { inverse: "lissa", scale: 100, recursions: 30, batchSize: 2, repeats: 2 }],
    ["arnoldi", { inverse: "arnoldi", rank: 12, iterations: 40 }],
    ["ekfac", { inverse: "ekfac" }],
    ["identity", { inverse: "identity" }],
  ])("with %s is the diagonal of its scores, whatever the batches and the memory", async (_name, options) => {
    for (const parameters of ["mlp", "head"] as const) {
      const own = {
        ...options,
        parameters,
        ...(options.inverse === "cg" ? { damping: pair.wanted[`lambda.${parameters}`].data[0] } : {}),
      };
      const wanted = diagonal((await influence(pair.model, pair.train, pair.train, own)).scores, 6);
      for (const changed of [{}, { batchTokens: 1 }, { memory: "800 kb" }]) {
        const { scores } = await selfInfluence(pair.model, pair.train, { ...own, ...changed });
        expect(relativeDifference(scores, wanted)).toBeLessThan(1e-6);
      }
    }
  });

  test("with EK-FAC takes its stored factors", async () => {
    await fitEkfac(pair.model, pair.train, join(root, "factors"), { parameters: "linear" });
    const [fitted, stored] = [
      await selfInfluence(pair.model, pair.train, { inverse: "ekfac", parameters: "linear" }),
      await selfInfluence(pair.model, pair.train, { inverse: "ekfac", factors: join(root, "factors") }),
    ];
    expect(stored.scores).toEqual(fitted.scores);
  });

  test.each(["gpt2", "llama-gqa", "gpt-neox-choice"])("of %s is the diagonal, too", async (name) => {
    using model = await open(name, { dtype: "float64" });
    const train = raggedInstances(model.architecture.head.kind, 5);
    for (const inverse of ["identity", "ekfac"] as const) {
      const wanted = diagonal((await influence(model, train, train, { inverse, parameters: "linear" })).scores, 5);
      expect(
        relativeDifference((await selfInfluence(model, train, { inverse, parameters: "linear" })).scores, wanted),
      ).toBeLessThan(1e-6);
    }
  });

  test.each<[string, object, string, RegExp]>([
    ["a preset", { preset: "paper:opt:averitec" }, "unknown", /"preset"/],
    ["another inverse", { inverse: "hessian" }, "invalid", /"inverse"/],
    ["a store's option", { preconditioner: "trak" }, "unknown", /"preconditioner"/],
    ["a budget below one vector", { inverse: "cg", memory: 100 }, "memory", /"memory"/],
  ])("refuses %s", async (_name, options, code, words) => {
    await expect(selfInfluence(pair.model, pair.train, options as SelfInfluenceOptions)).rejects.toMatchObject(
      refusal(code as never, words),
    );
    await expect(selfInfluence(pair.model, {} as never)).rejects.toMatchObject(refusal("invalid", /"train"/));
  });
});

describe("self-influence of a store", () => {
  test.each(["none", "gaussNewton", "dataInf", "trak"] as const)(
    "with %s is the diagonal of its scores, whatever the blocks",
    async (preconditioner) => {
      const store = await buildGradientStore(pair.model, pair.train, join(root, preconditioner), {
        parameters: "mlp",
        rank: 3,
        precision: "float32",
      });
      const { scores } = await storeSimilarity(store, await queryFeatures(pair.model, pair.train, store), {
        preconditioner,
        damping: 0.2,
        topK: undefined,
      });
      for (const memory of ["1 GB", preconditioner === "none" ? 300 : "200 kb"]) {
        const self = await selfInfluence(store, { preconditioner, damping: 0.2, memory });
        expect(relativeDifference(self.scores, diagonal(scores, 6))).toBeLessThan(1e-4); // floats under a damped inverse
        expect(self.scores.every((score) => score > 0)).toBe(true);
      }
      if (preconditioner !== "none")
        await expect(selfInfluence(store, { preconditioner, memory: 500 })).rejects.toMatchObject(
          refusal("memory", /raise "memory"/),
        );
    },
  );
});
