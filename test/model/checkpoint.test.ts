import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { planModel } from "../../lib/model/config/architecture";
import { listCheckpoint } from "../../lib/model/weights/checkpoint";
import { mapWeights, storedName } from "../../lib/model/weights/checkpoint-weights";
import type { HeadRequest } from "../../lib/model/config/head";
import { requireEqualTied } from "../../lib/model/weights/tied-weights";
import { loadModel } from "../../lib/model/load-model";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import { native } from "../../lib/native";
import type { ListedTensor } from "../../lib/storage/listing";
import { fileOf, scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { sharedData, testOnRealFiles } from "../needs";
import { cases, golden, headOf } from "./golden-cases";

const tinyStories = "models/tinystories-656k";

async function mapOf(
  directory: string,
  change: (tensors: ListedTensor[]) => ListedTensor[] = (tensors) => tensors,
  head?: HeadRequest,
) {
  const config = JSON.parse(readFileSync(join(directory, "config.json"), "utf8")) as Record<string, unknown>;
  const plan = planModel(config, head);
  const tensors = change(await listCheckpoint(directory));
  const map = mapWeights(
    plan.family,
    plan.architecture,
    tensors,
    native().expectedWeights(plan.architecture),
    plan.head.kind !== "causalLM",
  );
  return { ...map, plan, tensors };
}

describe("a checkpoint", () => {
  test.each(["module.", "_orig_mod.", "module._orig_mod."])(
    "whose names all begin with %s is read without it",
    async (wrapper) => {
      const directory = mkdtempSync(join(scratchDirectory, "wrapped-"));
      cpSync(join(golden, "gpt2"), directory, { recursive: true });
      const { tensors, metadata } = await readTensors(join(directory, "model.safetensors"));
      const wrapped = Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [`${wrapper}${name}`, tensor]),
      );
      await writeSafetensors(join(directory, "model.safetensors"), wrapped, metadata);
      using plain = await loadModel(join(golden, "gpt2"));
      using model = await loadModel(directory);
      expect(model.hash).toBe(plain.hash);
    },
  );

  test.each(cases)("%s fills every weight with one tensor of its own", async (name) => {
    const { weights, plan, isNewHead, tied } = await mapOf(join(golden, name), undefined, headOf(name));
    expect(weights.map(({ weight }) => weight)).toEqual(
      native()
        .expectedWeights(plan.architecture)
        .map((weight) => weight.name),
    );
    expect(new Set(weights.map((source) => source.name)).size).toBe(weights.length);
    expect(isNewHead).toBe(false);
    await requireEqualTied(tied);
  });

  test.each(cases.filter((name) => /^(opt|bloom|gpt2|llama|mistral|qwen2|qwen3)$/.test(name)))(
    "%s is written under the names it was read from",
    async (name) => {
      const { weights, plan } = await mapOf(join(golden, name));
      expect(weights.map(({ weight }) => storedName(plan.family, weight, plan.head.kind))).toEqual(
        weights.map((source) => source.name),
      );
    },
  );

  test("without a base prefix is read like one with it", async () => {
    const strip = (tensors: ListedTensor[]) =>
      tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace("model.decoder.", "decoder.") }));
    expect((await mapOf(join(golden, "opt"), strip)).weights).toHaveLength(
      (await mapOf(join(golden, "opt"))).weights.length,
    );
  });

  testOnRealFiles("that stores a tied embedding only as lm_head is read", [tinyStories], async () => {
    const { weights } = await mapOf(join(sharedData, tinyStories));
    expect(weights.find(({ weight }) => weight === "embedding.token.weight")?.name).toBe("lm_head.weight");
  });

  test("of a language model may get a new head, and one of a classifier may be a language model", async () => {
    const classifier = await mapOf(join(golden, "gpt-neox"), undefined, { kind: "classification", labels: ["a", "b"] });
    expect(classifier.isNewHead).toBe(true);
    const languageModel = await mapOf(join(golden, "opt-classification"), undefined, { kind: "causalLM" });
    expect(languageModel.isNewHead).toBe(false);
  });
});

describe("a checkpoint is refused", () => {
  const renamed = (from: string, to: string) => (tensors: ListedTensor[]) =>
    tensors.map((one) => (one.name === from ? { ...one, name: to } : one));
  const without = (name: string) => (tensors: ListedTensor[]) => tensors.filter((one) => one.name !== name);
  const altered = (name: string, change: Partial<ListedTensor>) => (tensors: ListedTensor[]) =>
    tensors.map((one) => (one.name === name ? { ...one, ...change } : one));

  test.each<[string, (tensors: ListedTensor[]) => ListedTensor[], "missing" | "mismatch" | "unsupported", RegExp]>([
    [
      "lacks a weight",
      without("model.layers.1.mlp.up_proj.weight"),
      "missing",
      /"model\.layers\.1\.mlp\.up_proj\.weight"/,
    ],
    ["lacks its output", without("lm_head.weight"), "missing", /"lm_head\.weight"/],
    [
      "has another name for a weight",
      renamed("model.norm.weight", "model.ln.weight"),
      "missing",
      /"model\.norm\.weight"/,
    ],
    [
      "is of another family",
      (tensors) => tensors.map((one) => ({ ...one, name: one.name.replace("model.", "gpt_neox.") })),
      "missing",
      /family "llama"/,
    ],
    [
      "holds a weight more",
      (tensors) => [...tensors, { ...tensors[0], name: "model.layers.2.mlp.up_proj.weight" }],
      "mismatch",
      /"model\.layers\.2\.mlp\.up_proj\.weight"/,
    ],
    [
      "holds a bias that config.json does not have",
      (tensors) => [...tensors, { ...tensors[0], name: "model.layers.0.mlp.up_proj.bias" }],
      "mismatch",
      /up_proj\.bias/,
    ],
    ["has another shape", altered("model.norm.weight", { shape: [31] }), "mismatch", /\[32\].*\[31\]/],
    ["has transposed sizes", altered("model.layers.0.mlp.up_proj.weight", { shape: [32, 40] }), "mismatch", /up_proj/],
    ["has whole numbers as weights", altered("model.norm.weight", { dtype: "I32" }), "unsupported", /I32/],
    ["has 8-bit floats as weights", altered("model.norm.weight", { dtype: "F8_E4M3" }), "unsupported", /F8_E4M3/],
  ])("when it %s", async (_name, change, code, words) => {
    await expect(mapOf(join(golden, "llama"), change)).rejects.toMatchObject(refusal(code, words));
  });

  test("when its head has another number of labels than asked for", async () => {
    const asked = mapOf(join(golden, "opt-classification"), undefined, { kind: "classification", labels: ["a", "b"] });
    await expect(asked).rejects.toMatchObject(refusal("mismatch", /"score\.weight"/));
  });

  test("when a tied embedding differs from the output beside it", async () => {
    const directory = scratchDirectory;
    const [same, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)].map((bytes) => fileOf(directory, bytes));
    const tensor = (file: string): ListedTensor => ({
      name: file,
      dtype: "F32",
      shape: [8],
      file,
      offset: 0,
      bytes: 32,
    });
    await expect(requireEqualTied([[tensor(same), tensor(other)]])).rejects.toMatchObject(
      refusal("mismatch", /tie_word_embeddings/),
    );
    await expect(
      requireEqualTied([[tensor(same), tensor(fileOf(directory, Buffer.alloc(32, 1)))]]),
    ).resolves.toBeUndefined();
  });

  test.each([
    ["IA3", refusal("unsupported", /IA3/)],
    ["LORA", refusal("missing", /names the base "org\/base".*Or give "base"/)],
  ])("when it is an adapter of the kind %s that cannot be loaded", async (kind, wanted) => {
    const directory = mkdtempSync(join(scratchDirectory, "adapter-"));
    const config = {
      peft_type: kind,
      base_model_name_or_path: "org/base",
      r: 2,
      lora_alpha: 2,
      target_modules: ["fc1"],
    };
    writeFileSync(join(directory, "adapter_config.json"), JSON.stringify(config));
    writeFileSync(join(directory, "adapter_model.safetensors"), "");
    await expect(loadModel(directory)).rejects.toMatchObject(wanted);
  });

  test("when the directory has no weights", async () => {
    await expect(listCheckpoint(scratchDirectory)).rejects.toMatchObject(
      refusal("missing", /model\.safetensors.*pytorch_model\.bin/),
    );
  });
});

const scratchDirectory = scratch();
