// Mixtures of experts: what config.json may say, how experts are stored, and what training them does. Their arithmetic is in the golden
// cases that every family has.
import { cpSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { planModel } from "../../lib/model/config/architecture";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { readTensors, writeSafetensors, type Tensor } from "../../lib/storage/tensors";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { golden } from "./golden-cases";
import { goldenTensors, instancesOf, open } from "./golden-tensors";

type Json = Record<string, unknown>;
const directory = scratch();
const configOf = (name: string): Json => JSON.parse(readFileSync(join(golden, name, "config.json"), "utf8")) as Json;

/** A copy of a case with other tensors. */
async function changed(name: string, change: (tensors: Record<string, Tensor>) => Record<string, Tensor>) {
  const copy = mkdtempSync(join(directory, "changed-"));
  cpSync(join(golden, name), copy, { recursive: true });
  const { tensors, metadata } = await readTensors(join(copy, "model.safetensors"));
  await writeSafetensors(join(copy, "model.safetensors"), change({ ...tensors }), metadata);
  return copy;
}

describe("a mixture's config.json", () => {
  test("says which layers have experts", () => {
    const layersOf = (change: Json) => {
      const config = { ...configOf("qwen3-moe"), num_hidden_layers: 4, decoder_sparse_step: 1, ...change };
      return planModel(config).architecture.mixture?.layers;
    };
    expect(layersOf({})).toEqual([true, true, true, true]);
    expect(layersOf({ decoder_sparse_step: 2 })).toEqual([false, true, false, true]);
    expect(layersOf({ decoder_sparse_step: 2, mlp_only_layers: [1] })).toEqual([false, false, false, true]);
    expect(layersOf({ mlp_only_layers: [0, 1, 2, 3] })).toBeUndefined();
  });

  test("lays the neurons of all experts side by side", () => {
    const { intermediate, mixture } = planModel(configOf("qwen2-moe")).architecture;
    expect(mixture).toEqual({
      experts: 4,
      chosen: 2,
      width: 6,
      shared: 10,
      renormalised: false,
      layers: [true, false],
      dense: 28,
    });
    expect(intermediate).toBe(4 * 6 + 10);
  });

  test.each<[string, Json, "invalid" | "unsupported", RegExp]>([
    ["mixtral", { num_experts_per_tok: 5 }, "invalid", /"num_experts_per_tok".*at most its 4 experts but received 5/],
    ["olmoe", { num_experts_per_tok: 0 }, "invalid", /num_experts_per_tok/],
    ["qwen3-moe", { num_experts: 6 }, "unsupported", /"num_experts": 6 and "num_local_experts": 5/],
    ["qwen2-moe", { mlp_only_layers: ["a"] }, "invalid", /"mlp_only_layers".*a list of layers/],
    ["qwen2-moe", { norm_topk_prob: "yes" }, "invalid", /norm_topk_prob/],
    ["mixtral", { router_jitter_noise: 0.1 }, "unsupported", /"router_jitter_noise": 0.1/],
    ["olmoe", { output_router_logits: true }, "unsupported", /output_router_logits/],
    ["olmo3", { rope_theta: 10_000 }, "unsupported", /"rope_theta": 10000/],
    ["olmo3", { rope_parameters: { rope_type: "default" } }, "unsupported", /"rope_type" in "rope_parameters"/],
  ])("of %s is refused with %j", (name, change, code, words) => {
    expect(() => planModel({ ...configOf(name), ...change })).toThrow(expect.objectContaining(refusal(code, words)));
  });
});

describe("experts in a file", () => {
  test("that lacks one are refused by its name", async () => {
    const missing = "model.layers.1.mlp.experts.3.up_proj.weight";
    const copy = await changed("olmoe", (tensors) => {
      const { [missing]: _, ...others } = tensors;
      return others;
    });
    await expect(loadModel(copy)).rejects.toMatchObject(
      refusal(
        "missing",
        /"model\.layers\.1\.mlp\.experts\.3\.up_proj\.weight" \(layers\.1\.mlp\.experts\.3\.up\.weight\)/,
      ),
    );
  });

  test("that are fused, but not as many as the configuration says, are refused", async () => {
    const name = "model.layers.0.mlp.experts.down_proj";
    const copy = await changed("format-fused-experts-mixtral", (tensors) => {
      const { data, shape } = tensors[name];
      const size = (data.length / shape[0]) * 3;
      return { ...tensors, [name]: { data: data.slice(0, size), shape: [3, ...shape.slice(1)] } };
    });
    await expect(loadModel(copy)).rejects.toMatchObject(
      refusal("mismatch", /experts\.down_proj" to have the shape \[4, 24, 10\].* has \[3, 24, 10\]/),
    );
  });

  test.each(["format-fused-experts-mixtral", "format-fused-experts-qwen2-moe"])(
    "of %s are written one by one, as the hub has them, and are the same model",
    async (name) => {
      using model = await loadModel(join(golden, name));
      const written = join(directory, `${name}-written`);
      await saveModel(model, written);
      using again = await loadModel(written);
      expect(again.hash).toBe(model.hash);
      const names = Object.keys((await readTensors(join(written, "model.safetensors"))).tensors).sort();
      const like = name.endsWith("mixtral") ? "mixtral" : "qwen2-moe";
      expect(names).toEqual(Object.keys((await readTensors(join(golden, like, "model.safetensors"))).tensors).sort());
    },
  );
});

test.each(["mixtral", "qwen2-moe", "qwen3-moe", "olmoe"])(
  "one small step down the gradient of %s lowers the loss by the gradient's square",
  async (name) => {
    using model = await open(name, { dtype: "float64" });
    const first = selectInstances(await instancesOf(name, "causalLM"), [0]);
    const learningRate = 1e-7;
    const step = { epochs: 1, batchSize: 1, learningRate, optimizer: "sgd", momentum: 0, weightDecay: 0 } as const;
    const tuned = await fineTune(model, first, {
      ...step,
      schedule: "constant",
      warmupSteps: 0,
      clip: 0,
      dropout: false,
    });
    const [before, after] = [await evaluate(model, first), await evaluate(tuned, first)];
    tuned.close();
    const { dot } = await goldenTensors("gradients", `${name}.safetensors`);
    // A causal language model is trained on the mean over a row's targets; the golden gradient is of their sum.
    const targets = first.tokens.length - 1;
    const slope = (before.losses[0] - after.losses[0]) / learningRate;
    expect(Math.abs((slope * targets) / dot.data[0] - 1)).toBeLessThan(1e-3);
  },
);
