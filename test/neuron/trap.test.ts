// The trap with known answers (METHODS): a three-layer net, identity first, W1 = ones(4×3), b1 = [−10, 1, 1, 1], ReLU,
// W2 = ones(2×4), b2 = [−1, 1], x = [0, 100, 0]; scores of the ReLU's outputs for output 0. A path that starts at the zero input and
// one that starts at zero activations differ, and a library that mixes them up is found out here.
//
// It is run through a whole decoder, an OPT of one block whose weights are written by hand: the MLP's norm has weight 0 and bias x,
// the attention's output is 0, and the MLP writes its first output into the residual and its negative beside it. The final norm
// would bend that; a constant ± 1e8 in two more features makes it a plain multiplication to 1e-11 in float64.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { evaluate } from "../../lib/model/evaluate";
import { loadModel } from "../../lib/model/load-model";
import { capture } from "../../lib/model/capture";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { type Tensor, writeSafetensors } from "../../lib/storage/tensors";
import { scratch } from "../storage/bytes";

const directory = scratch();
const constant = 1e8;
/** What the final norm bends: (400 / 1e8)² of 400, and the rounding of a sum with 1e8 in float64. */
const tolerance = 1e-5;

const matrix = (rows: readonly number[][]): Tensor => ({
  data: Float64Array.from(rows.flat()),
  shape: [rows.length, rows[0].length],
});
const vector = (values: readonly number[]): Tensor => ({ data: Float64Array.from(values), shape: [values.length] });
const zeros = (...shape: number[]): Tensor => ({ data: new Float64Array(shape.reduce((a, b) => a * b, 1)), shape });

/** The decoder whose MLP reads `input`. */
async function trapModel(name: string, input: readonly number[]) {
  const path = join(directory, name);
  mkdirSync(path);
  writeFileSync(
    join(path, "config.json"),
    JSON.stringify({
      model_type: "opt",
      architectures: ["OPTForSequenceClassification"],
      vocab_size: 3,
      hidden_size: 4,
      word_embed_proj_dim: 4,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      ffn_dim: 4,
      max_position_embeddings: 8,
      do_layer_norm_before: true,
      activation_function: "relu",
      num_labels: 2,
      id2label: { 0: "0", 1: "1" },
    }),
  );
  const layer = "model.decoder.layers.0.";
  const attention = Object.fromEntries(
    ["q_proj", "k_proj", "v_proj", "out_proj"].flatMap((part) => [
      [`${layer}self_attn.${part}.weight`, zeros(4, 4)],
      [`${layer}self_attn.${part}.bias`, zeros(4)],
    ]),
  );
  await writeSafetensors(join(path, "model.safetensors"), {
    ...attention,
    "model.decoder.embed_tokens.weight": matrix([1, 2, 3].map(() => [0, 0, constant, -constant])),
    "model.decoder.embed_positions.weight": zeros(10, 4),
    [`${layer}self_attn_layer_norm.weight`]: vector([1, 1, 1, 1]),
    [`${layer}self_attn_layer_norm.bias`]: zeros(4),
    [`${layer}final_layer_norm.weight`]: zeros(4),
    [`${layer}final_layer_norm.bias`]: vector([...input, 0]),
    [`${layer}fc1.weight`]: matrix([1, 2, 3, 4].map(() => [1, 1, 1, 0])),
    [`${layer}fc1.bias`]: vector([-10, 1, 1, 1]),
    [`${layer}fc2.weight`]: matrix([
      [1, 1, 1, 1],
      [-1, -1, -1, -1],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ]),
    [`${layer}fc2.bias`]: vector([-1, 1, 0, 0]),
    // (y, −y, C, −C) has mean 0 and deviation C / √2 · √(1 + y²/C²).
    "model.decoder.final_layer_norm.weight": vector([1, 1, 1, 1].map(() => constant / Math.SQRT2)),
    "model.decoder.final_layer_norm.bias": vector([0, -2, 0, 0]),
    "score.weight": matrix([
      [1, 0, 0, 0],
      [0, -1, 0, 0],
    ]),
  });
  return loadModel(path, { dtype: "float64" });
}

const one = createInstances({ kind: "classification", rows: [[1, 2]] });
const firstOutput = { target: "logit", of: [0] } as const;

function expectClose(actual: ArrayLike<number>, wanted: readonly number[]): void {
  expect(actual).toHaveLength(wanted.length);
  wanted.forEach((value, i) => expect(Math.abs(actual[i] - value)).toBeLessThan(tolerance));
}

describe("the trap", () => {
  test("is the net it claims to be", async () => {
    using model = await trapModel("net", [0, 100, 0]);
    expectClose((await capture(model, one)).values, [90, 101, 101, 101]);
    expectClose((await evaluate(model, one, { logits: true })).logits!, [392, 394]);
  });

  test.each(["cache", "full"] as const)(
    "with zero activations as baseline gives [90, 101, 101, 101], which sum to 392 − (−1), by engine %s",
    async (engine) => {
      using model = await trapModel(`activations-${engine}`, [0, 100, 0]);
      const { scores, completenessGap, targetValues } = await integratedGradients(model, one, {
        ...firstOutput,
        engine,
      });
      expectClose(scores, [90, 101, 101, 101]);
      expectClose([scores.reduce((a, b) => a + b, 0)], [393]);
      expectClose(targetValues, [392]);
      expectClose(completenessGap, [0]);
    },
  );

  test.each(["cache", "full"] as const)(
    "with the zero input's activations as baseline gives [90, 100, 100, 100] by engine %s",
    async (engine) => {
      using zero = await trapModel(`zero-${engine}`, [0, 0, 0]);
      const { values: baseline } = await capture(zero, one);
      expectClose(baseline, [0, 1, 1, 1]);
      using model = await trapModel(`input-${engine}`, [0, 100, 0]);
      const { scores, completenessGap } = await integratedGradients(model, one, { ...firstOutput, baseline, engine });
      expectClose(scores, [90, 100, 100, 100]);
      expectClose(completenessGap, [0]);
    },
  );

  test("is linear above the units: gradient times activation gives the same", async () => {
    using model = await trapModel("linear", [0, 100, 0]);
    expectClose((await gradientTimesActivation(model, one, firstOutput)).scores, [90, 101, 101, 101]);
  });

  test("at the pre-activations, as the paper scores, gives something else: the kink lies on the path", async () => {
    using model = await trapModel("paper", [0, 100, 0]);
    // The path α · [90, 101, 101, 101]: the slope is 1 at 19 of the 20 nodes and 0 at α = 0.
    expectClose(
      (await integratedGradients(model, one, { ...firstOutput, preset: "paper" })).scores,
      [90, 101, 101, 101].map((value) => (value * 19) / 20),
    );
  });
});
