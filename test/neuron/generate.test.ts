// Continuations with units changed: PyTorch's with hooks, and the same as repeated forwards of a model whose weights lack the units.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { evaluate } from "../../lib/model/evaluate";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { generate } from "../../lib/neuron/generate";
import { intervene } from "../../lib/neuron/intervene";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { goldenTensors, open, raggedInstances, rowsOf } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

const tokens = 6;
const units = Array.from({ length: 12 }, (_, unit) => ({ layer: unit % 2, unit: 2 * unit }));
const said = async (...given: Parameters<typeof generate>) =>
  (await generate(...given)).map(({ before, after }) => [Array.from(before), Array.from(after)]);

/** One full forward per token. */
async function repeated(
  rows: readonly (readonly number[])[],
  next: (instances: Instances) => Promise<Int32Array>,
): Promise<number[][]> {
  let grown = rows.map((row) => [...row]);
  for (let t = 0; t < tokens; t++) {
    const predictions = await next(createInstances({ kind: "causalLM", rows: grown }));
    grown = grown.map((row, i) => [...row, predictions[i]]);
  }
  return grown.map((row, i) => row.slice(rows[i].length));
}

const plainly = (model: Model) => async (instances: Instances) => (await evaluate(model, instances)).predictions;

/** The model as saved, with columns of the MLP's output projections at zero. */
async function withoutUnits(model: Model): Promise<Model> {
  const directory = mkdtempSync(join(tmpdir(), "generate-"));
  await saveModel(model, directory);
  const file = join(directory, "model.safetensors");
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + size).toString()) as Record<
    string,
    { data_offsets: [number, number]; shape: [number, number] }
  >;
  for (const { layer, unit } of units) {
    const {
      data_offsets: [begin],
      shape: [hidden, intermediate],
    } = header[`model.layers.${layer}.mlp.down_proj.weight`];
    for (let row = 0; row < hidden; row++) bytes.writeFloatLE(0, 8 + size + begin + 4 * (row * intermediate + unit));
  }
  writeFileSync(file, bytes);
  const edited = await loadModel(directory, { head: { kind: "causalLM" } });
  rmSync(directory, { recursive: true });
  return edited;
}

describe.each(["gpt2", "opt", "bloom-odd-heads", "qwen3"])(
  "units of %s's first layer, in prompts up to the last position",
  (name) => {
    test.each(["float64", "float32"] as const)("go on as PyTorch with hooks in %s", async (dtype) => {
      using model = await open(name, { dtype });
      const wanted = await goldenTensors("generation", `${name}.safetensors`);
      const prompts = createInstances({ kind: "causalLM", rows: rowsOf(wanted) });
      const row = (tensor: string, i: number) =>
        Array.from(wanted[tensor].data.slice(i * wanted[tensor].shape[1], (i + 1) * wanted[tensor].shape[1]));
      const chosen = Array.from({ length: prompts.size }, (_, i) =>
        (["neurons", "heads"] as const).flatMap((site) => row(site, i).map((unit) => ({ layer: 0, unit, site }))),
      );
      const baseline = {
        neurons: wanted["replacement.neurons"].data as Float32Array,
        heads: wanted["replacement.heads"].data as Float32Array,
      };
      const kinds = {
        suppressed: {},
        scaled: { kind: "scale", factor: wanted["factor"].data[0] },
        replaced: { kind: "replace", baseline },
        keptOnly: { kind: "keepOnly" },
      } as const;
      for (const [kind, options] of Object.entries(kinds)) {
        const found = await said(model, prompts, chosen, { tokens: wanted["before"].shape[1], ...options });
        expect([kind, found]).toEqual([kind, found.map((_, i) => [row("before", i), row(kind, i)])]);
      }
    });
  },
);

test("a prompt of one token goes on as in a model whose weights lack the units", async () => {
  using model = await open("llama");
  using edited = await withoutUnits(model);
  const rows = [[5], [9], [33], [60]];
  const found = await said(model, createInstances({ kind: "causalLM", rows }), units, { tokens });
  expect(found.map(([before]) => before)).toEqual(await repeated(rows, plainly(model)));
  expect(found.map(([, after]) => after)).toEqual(await repeated(rows, plainly(edited)));
  expect(found.some(([before, after]) => before.join() !== after.join())).toBe(true);
});

test.each(["gpt2", "bloom", "opt"])(
  "units of %s's last layer, which later positions do not see, go on as repeated interventions",
  async (name) => {
    using model = await open(name);
    const { layers, heads } = model.architecture;
    const last = [
      ...units.map(({ unit }) => ({ layer: layers - 1, unit, site: "neurons" as const })),
      { layer: layers - 1, unit: heads - 1, site: "heads" as const },
    ];
    const prompts = raggedInstances("causalLM");
    const rows = Array.from({ length: prompts.size }, (_, i) =>
      Array.from(prompts.tokens.slice(prompts.rowOffsets[i], prompts.rowOffsets[i + 1])),
    );
    for (const options of [{}, { kind: "scale", factor: -3 }] as const) {
      const found = await said(model, prompts, last, { tokens, ...options });
      expect(found.map(([, after]) => after)).toEqual(
        await repeated(
          rows,
          async (instances) =>
            (await intervene(model, instances, last, { engine: "full", ...options })).after.predictions,
        ),
      );
      expect(await said(model, prompts, last, { tokens, batchTokens: 1, ...options })).toEqual(found);
    }
    const alone = await said(model, prompts, last, { tokens: 1, kind: "keepOnly" }); // of all layers
    expect(alone.map(([, after]) => after[0])).toEqual(
      Array.from((await intervene(model, prompts, last, { kind: "keepOnly" })).after.predictions),
    );
  },
);

test("scaled by 1 nothing changes, and a list for each prompt changes its own", async () => {
  using model = await open("llama");
  const prompts = createInstances({
    kind: "causalLM",
    rows: [
      [5, 6, 7],
      [9, 10],
    ],
  });
  for (const [before, after] of await said(model, prompts, units, { kind: "scale", factor: 1, tokens }))
    expect(after).toEqual(before);
  const [first, second] = [
    await said(model, prompts, units, { tokens }),
    await said(model, prompts, units.slice(0, 3), { tokens }),
  ];
  expect(await said(model, prompts, [units, units.slice(0, 3)], { tokens })).toEqual([first[0], second[1]]);
});

test("what cannot go on is refused", async () => {
  using model = await open("llama");
  const prompts = createInstances({ kind: "causalLM", rows: [[5, 6]] });
  await expect(generate(model, prompts, units, { tokens: 100_000 })).rejects.toMatchObject(
    refusal("invalid", /positions/),
  );
  await expect(generate(model, prompts, units, { tokens: 0 })).rejects.toMatchObject(refusal("invalid", /"tokens"/));
  await expect(generate(model, prompts, [], { tokens })).rejects.toMatchObject(refusal("invalid", /"units"/));
  await expect(generate(model, prompts, units, { kind: "scale" })).rejects.toMatchObject(
    refusal("missing", /"factor"/),
  );
  using classifier = await open("opt-classification");
  await expect(generate(classifier, raggedInstances("classification"), [{ layer: 0, unit: 1 }])).rejects.toMatchObject(
    refusal("unsupported", /causal/),
  );
});
