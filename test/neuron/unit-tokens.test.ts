// What a unit writes, against the same formula over the stored weights.
import { unitTokens, type UnitWrite } from "../../lib/neuron/unit-tokens";
import type { Model } from "../../types/model";
import { goldenTensors, open, type Tensors } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** float32 sums over the hidden size. */
const rounding = 1e-4;
const epsilon = 1e-5;

let model: Model;
let weights: Tensors;
beforeAll(async () => {
  model = await open("llama");
  weights = await goldenTensors("llama", "model.safetensors");
});
afterAll(() => model.close());

const row = ({ data, shape }: Tensors[string], index: number): number[] =>
  Array.from(data.slice(index * shape[1], (index + 1) * shape[1]), Number);

/** head(norm(Σ value · column)), by loops: RMSNorm, then the untied head. */
function logits(matrix: string, first: number, value: readonly number[]): number[] {
  const columns = weights[matrix];
  const write = Array.from({ length: columns.shape[0] }, (_, h) =>
    value.reduce((sum, v, f) => sum + v * row(columns, h)[first + f], 0),
  );
  const scale = 1 / Math.sqrt(write.reduce((sum, x) => sum + x * x, 0) / write.length + epsilon);
  const normed = write.map((x, h) => x * scale * Number(weights["model.norm.weight"].data[h]));
  const head = weights["lm_head.weight"];
  return Array.from({ length: head.shape[0] }, (_, token) =>
    row(head, token).reduce((sum, w, h) => sum + w * normed[h], 0),
  );
}

async function check(site: "neurons" | "heads", unit: UnitWrite, wanted: readonly number[]): Promise<void> {
  const order = wanted.map((_, id) => id).sort((a, b) => wanted[b] - wanted[a]);
  const [found] = await unitTokens(model, [{ ...unit, rankOf: order[7] }], { site, top: wanted.length });
  expect(found.rank).toBe(8);
  expect(found.tokens).toHaveLength(wanted.length);
  for (const { id, logit } of found.tokens) expect(Math.abs(logit - wanted[id])).toBeLessThan(rounding);
}

test("is the head's reading of a neuron's column, and of a head's slice", async () => {
  const { headSize } = model.architecture;
  await check("neurons", { layer: 1, unit: 3 }, logits("model.layers.1.mlp.down_proj.weight", 3, [1]));
  await check("neurons", { layer: 0, unit: 5, value: -2 }, logits("model.layers.0.mlp.down_proj.weight", 5, [-2]));
  const value = Array.from({ length: headSize }, (_, f) => Math.cos(f));
  const wanted = logits("model.layers.1.self_attn.o_proj.weight", 2 * headSize, value);
  await check("heads", { layer: 1, unit: 2, value }, wanted);
});

test("units keep their order, and the best tokens come first", async () => {
  const units = [0, 1, 2].map((unit) => ({ layer: 0, unit }));
  const all = await unitTokens(model, units, { top: 4 });
  for (const [i, { tokens }] of all.entries()) {
    expect(tokens).toEqual((await unitTokens(model, [units[i]], { top: 4 }))[0].tokens);
    const found = tokens.map(({ logit }) => logit);
    expect(found).toEqual([...found].sort((a, b) => b - a));
  }
});

test("a value turned around turns the order around", async () => {
  const top = model.architecture.vocabulary;
  const [up] = await unitTokens(model, [{ layer: 1, unit: 3, value: 10 }], { top });
  const [down] = await unitTokens(model, [{ layer: 1, unit: 3, value: -10 }], { top });
  expect(down.tokens.map(({ id }) => id)).toEqual(up.tokens.map(({ id }) => id).reverse());
});

test.each<[string, readonly UnitWrite[], object, string, RegExp]>([
  ["no units", [], {}, "invalid", /"units"/],
  ["a unit without a layer", [{ unit: 3 } as UnitWrite], {}, "invalid", /"units\[0\]"/],
  ["a head without a value", [{ layer: 0, unit: 0 }], { site: "heads" }, "missing", /"value"/],
  ["a value of another size", [{ layer: 0, unit: 0, value: [1] }], { site: "heads" }, "mismatch", /8 features/],
  ["a layer that the model has not", [{ layer: 2, unit: 0 }], {}, "invalid", /no unit 0 in layer 2/],
  ["a misspelt option", [{ layer: 0, unit: 0 }], { tops: 3 }, "unknown", /"tops"/],
  ["values that are no numbers", [{ layer: 0, unit: 0, value: "x" as never }], {}, "invalid", /units\[0\]\.value/],
  ["values that are not finite", [{ layer: 0, unit: 0, value: NaN }], {}, "invalid", /units\[0\]\.value/],
  ["ranks of no token", [{ layer: 0, unit: 0, rankOf: 1.5 }], {}, "invalid", /units\[0\]\.rankOf/],
])("%s are refused", async (_name, units, options, code, words) => {
  await expect(unitTokens(model, units, options)).rejects.toMatchObject(refusal(code as never, words));
});

test("a post-norm model is refused, for its residual is normed after each block", async () => {
  using normed = await open("opt-post-norm-projected");
  await expect(unitTokens(normed, [{ layer: 0, unit: 0 }])).rejects.toMatchObject(refusal("unsupported", /normalises/));
});

test("what is no model is refused where heads are read too", async () => {
  const write = { layer: 0, unit: 0, value: [1] };
  await expect(unitTokens(null as never, [write], { site: "heads" })).rejects.toMatchObject(
    refusal("invalid", /"model"/),
  );
});
