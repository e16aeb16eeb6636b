// Encoders equal transformers: logits, losses, the gradient of every parameter, tuning, and what is written.
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concatInstances, createInstances, selectInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { createModel } from "../../lib/model/create-model";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { readoutStates } from "../../lib/model/capture";
import { saveModel } from "../../lib/model/save-model";
import { generate } from "../../lib/neuron/generate";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import type { Model } from "../../types/model";
import { featuresOf, flat, settingsFor } from "../instance/feature-algebra";
import { refusal } from "../storage/refusal";
import { encoderPath, encoders, openEncoder } from "./encoder-golden";
import { logitTolerance, relativeDifference } from "./golden-cases";
import { gradientName, type Tensors } from "./golden-tensors";

/** Doubles that come back as floats. */
const doubleTolerance = 2e-6;
/** transformers rotates in float32 whatever the model's type. */
const rotaryTolerance = 2e-5;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "encoders-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Inner products with cos((k + 1)(i + 1)), as gradients.py has them. */
const sketch = (row: readonly number[]) =>
  [1, 2, 3, 4].map((k) => row.reduce((sum, value, i) => sum + value * Math.cos(k * (i + 1)), 0));

/** The golden sketches of a module's weight and bias; a tied bias has no ".weight" in the checkpoint. */
function sketchesOf(model: Model, wanted: Awaited<ReturnType<typeof openEncoder>>["wanted"], module: string) {
  return (module === "outputBias" ? ["weight"] : ["weight", "bias"]).flatMap((part) => {
    const name = gradientName(model, `${module}.${part}`).replace(/^gradient/, "sketch");
    return wanted[name] ?? [];
  });
}

describe.each(encoders)("%s", (name) => {
  test("has transformers' logits and losses, whatever the batch and the type", async () => {
    for (const [dtype, tolerance] of [
      ["float64", doubleTolerance],
      ["float32", logitTolerance],
    ] as const) {
      const { model, instances, wanted } = await openEncoder(name, { dtype });
      using _closing = model;
      const doubled = concatInstances([selectInstances(instances, [1]), instances]);
      for (const batchTokens of [4096, 1]) {
        const found = await evaluate(model, doubled, { logits: true, batchTokens });
        const width = found.logits!.length / 4;
        expect(relativeDifference(found.logits!.slice(width), wanted["logits"].data)).toBeLessThan(tolerance);
        expect(relativeDifference(found.losses.slice(1), wanted["losses"].data)).toBeLessThan(tolerance);
        expect(found.losses[0]).toBeCloseTo(found.losses[2], 6);
      }
    }
  });

  test("has transformers' gradient of every parameter for each instance", async () => {
    const { model, instances, wanted } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const tolerance = name.startsWith("modernbert") ? rotaryTolerance : doubleTolerance;
    let found = 0;
    for (const module of modulesOf(model.architecture, "all")) {
      const golden = sketchesOf(model, wanted, module);
      const { rows } = await featuresOf(model, instances, settingsFor(model, [module]));
      const sizes = golden.map(({ shape }) => shape[1]);
      expect(sizes.every((size) => size === 4) && golden.length > 0).toBe(true);
      const width = golden.length === 1 ? rows[0].length : biasAt(model, module, rows[0].length);
      const parts = golden.length === 1 ? [rows] : partsOf(rows, width, module);
      // Of weight and bias together: the bias of the keys has no gradient but rounding.
      const wantedParts = golden.flatMap(({ data }) => Array.from(data));
      const difference = relativeDifference(
        parts.flatMap((part) => flat(part.map(sketch))),
        wantedParts,
      );
      expect([module, difference < tolerance]).toEqual([module, true]);
      found += golden.length;
    }
    expect(found).toBe(Object.keys(wanted).filter((key) => key.startsWith("sketch.")).length);
    const { scores } = await gradientSimilarity(model, instances, instances, { parameters: "all" });
    expect(relativeDifference(scores, wanted["dot"].data)).toBeLessThan(tolerance);
  });

  test("learns along its gradient, and is written so that it is read back", async () => {
    const { model, instances, wanted } = await openEncoder(name, { dtype: "float64" });
    using _closing = model;
    const first = selectInstances(instances, [0]);
    const [learningRate, squared] = [1e-6, wanted["dot"].data[0]];
    const options = { epochs: 1, batchSize: 1, learningRate, optimizer: "sgd", schedule: "constant" } as const;
    using tuned = await fineTune(model, first, { ...options, weightDecay: 0, clip: 0, dropout: false });
    const fall = (await evaluate(model, first)).losses[0] - (await evaluate(tuned, first)).losses[0];
    expect(Math.abs(fall / (learningRate * squared) - 1)).toBeLessThan(1e-3);
    const path = join(folder, name);
    await saveModel(model, path);
    using again = await loadModel(path, { dtype: "float64" });
    expect(again.hash).toBe(model.hash);
    const names = async (file: string) => Object.keys((await readTensors(file)).tensors).sort();
    expect(await names(join(path, "model.safetensors"))).toEqual(
      await names(join(encoderPath(name), "model.safetensors")),
    );
    const config = JSON.parse(await readFile(join(path, "config.json"), "utf8")) as { architectures: string[] };
    expect(config.architectures[0]).toMatch(name.endsWith("masked") ? /ForMaskedLM$/ : /ForSequenceClassification$/);
  });
});

/** Where the bias begins in a module's gradient: a norm's second half, a linear's trailing column or part. */
function biasAt(model: Model, module: string, width: number): number {
  if (/orm$/.test(module)) return width / 2;
  const { hidden, intermediate, head, fusedGate } = model.architecture;
  const output: Readonly<Record<string, number>> = {
    qkv: 3 * hidden,
    up: intermediate,
    gateUp: fusedGate ? 2 * intermediate : intermediate,
    score: head.labels,
  };
  return output[module.split(".").at(-1)!] ?? hidden;
}

/** [weight, bias] of rows: a norm's are one after the other; a linear's rows of weights end with the bias each. */
function partsOf(rows: number[][], size: number, module: string): number[][][] {
  if (/orm$/.test(module)) return [rows.map((row) => row.slice(0, size)), rows.map((row) => row.slice(size))];
  const width = rows[0].length / size;
  const at = (row: number[], isBias: boolean) => row.filter((_, i) => (i % width === width - 1) === isBias);
  return [rows.map((row) => at(row, false)), rows.map((row) => at(row, true))];
}

describe("names", () => {
  const rewrite = async (name: string, change: (tensors: Tensors) => Tensors) => {
    const directory = await mkdtemp(join(folder, "names-"));
    await copyFile(join(encoderPath(name), "config.json"), join(directory, "config.json"));
    const { tensors, metadata } = await readTensors(join(encoderPath(name), "model.safetensors"));
    await writeSafetensors(join(directory, "model.safetensors"), change(tensors), metadata);
    return directory;
  };
  const renamed = (tensors: Tensors, name: (old: string) => string) =>
    Object.fromEntries(Object.entries(tensors).map(([old, tensor]) => [name(old), tensor]));

  test("of bert-base-uncased are read: gamma and beta, heads of other tasks, tensors stored twice", async () => {
    const directory = await rewrite("bert-masked", (tensors) => ({
      ...renamed(tensors, (name) =>
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
      ),
      "bert.embeddings.position_ids": tensors["cls.predictions.bias"],
      "bert.pooler.dense.weight": tensors["bert.encoder.layer.0.attention.self.query.weight"],
      "bert.pooler.dense.bias": tensors["bert.encoder.layer.0.attention.self.query.bias"],
      "cls.seq_relationship.weight": tensors["bert.embeddings.token_type_embeddings.weight"],
      "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"],
      "cls.predictions.decoder.bias": tensors["cls.predictions.bias"],
    }));
    using plain = await loadModel(encoderPath("bert-masked"));
    using model = await loadModel(directory);
    expect(model.hash).toBe(plain.hash);
  });

  test("of a bare encoder are read, and a tied bias that differs is refused", async () => {
    const head = { kind: "classification", labels: ["a", "b", "c"] } as const;
    const bare = await rewrite("bert-classification", (tensors) =>
      Object.fromEntries(
        Object.entries(tensors).flatMap(([name, tensor]) =>
          name.startsWith("bert.") ? [[name.slice("bert.".length), tensor]] : [],
        ),
      ),
    );
    using model = await loadModel(bare, { head });
    const { model: whole, instances } = await openEncoder("bert-classification");
    using _closing = whole;
    expect(await readoutStates(model, instances)).toEqual(await readoutStates(whole, instances));
    const doubled = await rewrite("roberta-masked", (tensors) => ({
      ...tensors,
      "lm_head.decoder.bias": {
        ...tensors["lm_head.bias"],
        data: tensors["lm_head.bias"].data.map((x) => x + 1),
      },
    }));
    await expect(loadModel(doubled)).rejects.toMatchObject(refusal("mismatch", /lm_head\.decoder\.bias/));
  });
});

describe("heads", () => {
  test("another one is drawn over the checkpoint's encoder, with what it has in common", async () => {
    const labels = ["no", "yes"];
    using model = await loadModel(encoderPath("bert-masked"), { head: { kind: "classification", labels } });
    expect(model.architecture.head).toMatchObject({ readout: "first", transform: { activation: "tanh" } });
    using again = await loadModel(encoderPath("bert-masked"), { head: { kind: "classification", labels }, seed: 1 });
    expect(again.hash).not.toBe(model.hash);
    const rows = [[1, 7, 8, 2]];
    const masked = createInstances({ kind: "maskedLM", rows, targets: [[-100, -1, -100, -100]] });
    const classified = createInstances({ kind: "classification", rows });
    using language = await loadModel(encoderPath("bert-masked"));
    const state = await readoutStates(model, classified);
    const shifted = createInstances({ kind: "maskedLM", rows, targets: [[-1, -100, -100, -100]] });
    expect(relativeDifference(state, await readoutStates(language, shifted))).toBeLessThan(1e-6); // both at the first token
    expect(relativeDifference(state, await readoutStates(language, masked))).toBeGreaterThan(1e-2);
  });

  test("that a family does not have are refused, and so is text generation", async () => {
    await expect(loadModel(encoderPath("bert-masked"), { head: { kind: "causalLM" } })).rejects.toMatchObject(
      refusal("unsupported", /"bert" have no causalLM head/),
    );
    using model = await loadModel(encoderPath("bert-masked"));
    const prompts = createInstances({ kind: "maskedLM", rows: [[5, 4]], targets: [[-100, -1]] });
    await expect(generate(model, prompts, [{ layer: 0, unit: 0 }], { tokens: 1 })).rejects.toMatchObject(
      refusal("unsupported", /causal/),
    );
    await expect(
      createModel({ model_type: "gpt2", n_layer: 1, n_embd: 8, n_head: 2 }, { head: { kind: "maskedLM" } }),
    ).rejects.toMatchObject(refusal("unsupported", /no maskedLM head/));
  });

  test("of an encoder alone are asked for in one sentence", async () => {
    await expect(loadModel(encoderPath("bert-classification"), { head: { kind: "maskedLM" } })).rejects.toMatchObject(
      refusal("missing", /encoder without a masked-LM head\. Give head: \{ kind: "classification"/),
    );
  });

  test("are made by createModel for every family", async () => {
    for (const name of encoders) {
      const config = JSON.parse(await readFile(join(encoderPath(name), "config.json"), "utf8")) as object;
      using model = await createModel({ ...config }, { seed: 1 });
      const { instances } = await openEncoder(name);
      const { losses } = await evaluate(model, instances);
      const uniform = Math.log(name.endsWith("masked") ? model.architecture.vocabulary : 3);
      losses.forEach((loss) => expect(Math.abs(loss - uniform)).toBeLessThan(0.5));
    }
  });
});

test("a masked LM's rows have one masked position each, and token types that the model has", async () => {
  const rows = [[5, 6, 7]];
  const make = (targets: number[][]) => () => createInstances({ kind: "maskedLM", rows, targets });
  expect(make([[-100, 4, 5]])).toThrow(expect.objectContaining(refusal("invalid", /exactly one position/)));
  expect(make([[-100, -100, -100]])).toThrow(expect.objectContaining(refusal("invalid", /exactly one position/)));
  expect(() => createInstances({ kind: "maskedLM", rows })).toThrow(
    expect.objectContaining(refusal("invalid", /"targets"/)),
  );
  using model = await loadModel(encoderPath("bert-masked"));
  const typed = createInstances({
    kind: "maskedLM",
    rows,
    targets: [[-100, 4, -100]],
    tokenTypes: [[0, 1, 2]],
  });
  await expect(evaluate(model, typed)).rejects.toMatchObject(refusal("invalid", /token type 2/));
});
