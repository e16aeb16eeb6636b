// GGUF models: logits equal transformers', and every block type equals what the gguf package reads (test/golden/make-gguf.py).
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { evaluate } from "../../lib/model/evaluate";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { readTensors, type Tensor } from "../../lib/storage/tensors";
import type { Model } from "../../types/model";
import { scratch } from "../storage/bytes";
import { ggufFile, writeChanged } from "./gguf-files";
import { golden, logitTolerance, relativeDifference } from "./golden-cases";
import { goldenTensors, rowsOf, type Tensors } from "./golden-tensors";

const directory = scratch();
let made = 0;
const fresh = (): string => join(directory, `saved-${made++}`);

/** Stored values are read to the last bit, but a processor may fuse a product and a sum. */
const valueTolerance = 1e-6;

/** How far the logits at each row's last token are from the golden ones. */
async function logitDifference(model: Model, tensors: Tensors): Promise<number> {
  const rows = rowsOf(tensors);
  const { logits } = await evaluate(model, createInstances({ kind: "causalLM", rows }), { logits: true });
  const { data, shape } = tensors["logits"];
  const ends = tensors["rowOffsets"].data.slice(1);
  const last = Array.from(ends).flatMap((end) => Array.from(data.slice((end - 1) * shape[1], end * shape[1])));
  return relativeDifference(logits!, last);
}

/** The model's weights by Hugging Face's names, as saveModel writes them. */
async function weightsOf(model: Model): Promise<Readonly<Record<string, Tensor>>> {
  const path = fresh();
  await saveModel(model, path);
  return (await readTensors(join(path, "model.safetensors"))).tensors;
}

describe("a GGUF model gives transformers' logits", () => {
  test.each(["llama", "llama-gqa", "qwen2", "qwen3", "olmo2"])(
    "%s, and is the model of the directory",
    async (name) => {
      using model = await loadModel(ggufFile(name));
      expect(await logitDifference(model, await goldenTensors(name, "golden.safetensors"))).toBeLessThan(
        logitTolerance,
      );
      using other = await loadModel(join(golden, name));
      expect(model.hash).toBe(other.hash);
      expect(model.architecture).toEqual(other.architecture);
    },
  );

  test("with biases of permuted queries and keys", async () => {
    using model = await loadModel(ggufFile("llama-bias"));
    expect(await logitDifference(model, await goldenTensors("gguf", "bias.safetensors"))).toBeLessThan(logitTolerance);
  });

  test("with fused projections of queries, keys and values, and of gate and up", async () => {
    using model = await loadModel(ggufFile("phi3"));
    expect(await logitDifference(model, await goldenTensors("gguf", "phi3.safetensors"))).toBeLessThan(logitTolerance);
    expect(model.config).toMatchObject({ model_type: "phi3", architectures: ["Phi3ForCausalLM"] });
    const windowed = await writeChanged(fresh(), "phi3", { keys: { "phi3.attention.sliding_window": 8 } });
    using narrow = await loadModel(windowed);
    expect(narrow.architecture.attention.map(({ window }) => window)).toEqual([8, 8]);
  });

  test("of every block type", async () => {
    using model = await loadModel(ggufFile("blocks"));
    expect(await logitDifference(model, await goldenTensors("gguf", "values.safetensors"))).toBeLessThan(
      logitTolerance,
    );
  });

  test("in version 2, under another name, and after it was saved as a directory", async () => {
    const path = join(directory, "sha256-1234");
    copyFileSync(await writeChanged(fresh(), "llama-gqa", { version: 2 }), path);
    using model = await loadModel(path);
    const saved = fresh();
    await saveModel(model, saved);
    using again = await loadModel(saved);
    expect(again.hash).toBe(model.hash);
    expect(again.config).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      rms_norm_eps: 1e-5,
      rope_theta: 100_000,
      tie_word_embeddings: true,
    });
  });

  test("as the body of a classifier with a new head", async () => {
    using model = await loadModel(ggufFile("llama-gqa"), { head: { kind: "classification", labels: ["no", "yes"] } });
    const { probabilities } = await evaluate(model, createInstances({ kind: "classification", rows: [[4, 5, 6]] }));
    expect(probabilities[0]).toBeGreaterThanOrEqual(0.5);
  });
});

test("every third row of each tensor of every type is what the gguf package reads", async () => {
  using model = await loadModel(ggufFile("blocks"));
  const [weights, expected] = [await weightsOf(model), await goldenTensors("gguf", "values.safetensors")];
  const theirs: Readonly<Record<string, string>> = {
    attn_q: "self_attn.q_proj",
    attn_k: "self_attn.k_proj",
    attn_v: "self_attn.v_proj",
    attn_output: "self_attn.o_proj",
    ffn_gate: "mlp.gate_proj",
    ffn_up: "mlp.up_proj",
    ffn_down: "mlp.down_proj",
  };
  const nameOf = (name: string): string => {
    const [, layer, module] = /^blk\.(\d)\.(\w+)$/.exec(name) ?? [];
    return layer === undefined
      ? { token_embd: "model.embed_tokens.weight", output: "lm_head.weight" }[name]!
      : `model.layers.${layer}.${theirs[module]}.weight`;
  };
  const names = Object.keys(expected).filter((name) => !["tokens", "rowOffsets", "logits"].includes(name));
  expect(names).toHaveLength(16);
  const differences: Record<string, number> = {};
  for (const name of names) {
    const {
      data,
      shape: [, width],
    } = weights[nameOf(name)];
    const rows = Array.from({ length: expected[name].shape[0] }, (_, i) =>
      Array.from(data.slice(3 * i * width, (3 * i + 1) * width)),
    );
    differences[name] = relativeDifference(rows.flat(), expected[name].data);
  }
  expect(Object.entries(differences).filter(([, difference]) => !(difference < valueTolerance))).toEqual([]);
});
