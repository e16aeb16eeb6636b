// LoRA adapters made by PEFT (test/golden/adapters.py): losses, logits, exact gradients of A and B, influence; and what fineTune
// trains and saveModel writes.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import {
  ablation,
  breakdown,
  buildGradientStore,
  gradientTimesActivation,
  integratedGradients,
  queryFeatures,
  storeSimilarity,
} from "../../lib";
import { influence } from "../../lib/instance/influence";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { scratch } from "../storage/bytes";
import { golden, relativeDifference } from "./golden-cases";
import { goldenTensors, rowsOf, type Tensors } from "./golden-tensors";

const directory = scratch();
let made = 0;
const fresh = (): string => join(directory, `adapter-${made++}`);

/** transformers norms in float32, whatever the weights. */
const tolerance = 1e-5;
const labels = ["a", "b", "c"];

interface Case {
  readonly model: Model;
  readonly wanted: Tensors;
  readonly instances: Instances;
}

async function open(name: string, adapter: "apart" | "merge" = "apart"): Promise<Case> {
  const head = name.endsWith("classification") ? ({ kind: "classification" } as const) : undefined;
  const model = await loadModel(join(golden, "adapters", name), {
    base: join(golden, name),
    dtype: "float64",
    adapter,
    head,
  });
  const wanted = await goldenTensors(join("adapters", name), "golden.safetensors");
  const rows = rowsOf(wanted);
  const instances =
    head === undefined
      ? createInstances({ kind: "causalLM", rows })
      : createInstances({ kind: "classification", rows, labels: rows.map((_, i) => i % labels.length) });
  return { model, wanted, instances };
}

const names = ["llama", "gpt2", "gpt2-classification"] as const;

describe.each(names)("the adapter of %s", (name) => {
  test.each(["apart", "merge"] as const)("has PEFT's losses (%s)", async (form) => {
    const { model, wanted, instances } = await open(name, form);
    using _closed = model;
    const { losses } = await evaluate(model, instances);
    expect(relativeDifference(losses, wanted["losses"].data)).toBeLessThan(tolerance);
  });

  test("has PEFT's gradients, and they are the default parameters", async () => {
    const { model, wanted, instances } = await open(name);
    using _closed = model;
    const count = rowsOf(wanted).length;
    const gradients = Array.from({ length: count }, (_, i) =>
      Object.keys(wanted)
        .filter((key) => key.startsWith(`gradient.${i}.`))
        .sort()
        .flatMap((key) => Array.from(wanted[key].data)),
    );
    const products = gradients.flatMap((left) =>
      gradients.map((right) => left.reduce((sum, value, k) => sum + value * right[k], 0)),
    );
    const { scores } = await gradientSimilarity(model, instances, instances);
    expect(relativeDifference(scores, products)).toBeLessThan(tolerance);
  });
});

test("influence is the dense algebra's", async () => {
  const { model, wanted } = await open("llama");
  using _closed = model;
  const rows = rowsOf(wanted);
  const [train, queries] = [rows.slice(0, -1), rows.slice(-1)].map((some) =>
    createInstances({ kind: "causalLM", rows: some }),
  );
  const damping = wanted["lambda"].data[0];
  const { scores } = await influence(model, train, queries, { damping, iterations: 2000, tolerance: 1e-10 });
  expect(relativeDifference(scores, wanted["influence"].data)).toBeLessThan(1e-3); // the inverse enlarges the norms' rounding
});

test("fineTune trains one over frozen weights, and what saveModel writes is the same model", async () => {
  using base = await loadModel(join(golden, "llama"));
  const rows = rowsOf(await goldenTensors("llama", "golden.safetensors"));
  const train = createInstances({ kind: "causalLM", rows });
  using tuned = await fineTune(base, train, {
    epochs: 2,
    learningRate: 1e-2,
    adapter: { rank: 2, alpha: 4, targets: "mlp" },
  });
  const [before, after] = [await evaluate(base, train), await evaluate(tuned, train)];
  const mean = (losses: ArrayLike<number>) => Array.from(losses).reduce((a, b) => a + b, 0);
  expect(mean(after.losses)).toBeLessThan(mean(before.losses));
  const folder = fresh();
  await saveModel(tuned, folder);
  using again = await loadModel(folder);
  expect(again.hash).toBe(tuned.hash);
});

test("a saved adapter names the base that lies on the disk, and none where the base was tuned before", async () => {
  const directory = join(golden, "llama");
  using base = await loadModel(directory);
  const train = createInstances({ kind: "causalLM", rows: rowsOf(await goldenTensors("llama", "golden.safetensors")) });
  const adapter = { rank: 1, targets: "mlp" } as const;
  const namedBy = async (model: Model): Promise<unknown> => {
    using adapted = await fineTune(model, train, { epochs: 1, adapter });
    const folder = fresh();
    await saveModel(adapted, folder);
    const config = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8")) as Record<string, unknown>;
    return config["base_model_name_or_path"];
  };
  expect(await namedBy(base)).toBe(directory);
  using tuned = await fineTune(base, train, { epochs: 1 });
  expect(await namedBy(tuned)).toBeNull();
});

test("neuron methods see the merged weights", async () => {
  const [apart, merged] = [await open("llama"), await open("llama", "merge")];
  using _apart = apart.model;
  using _merged = merged.model;
  for (const method of [integratedGradients, ablation, gradientTimesActivation]) {
    const [own, plain] = [await method(apart.model, apart.instances), await method(merged.model, merged.instances)];
    expect(relativeDifference(own.scores, plain.scores)).toBeLessThan(1e-9);
  }
});

test("stores, EK-FAC, DataInf and breakdown take the adapter's parameters", async () => {
  const { model, instances } = await open("gpt2");
  using _closed = model;
  const exact = await gradientSimilarity(model, instances, instances);
  const { modules, pairs } = await breakdown(model, instances, instances, exact);
  expect(modules.every((name) => /\.lora[AB]$/.test(name))).toBe(true);
  for (const { parts, score } of pairs)
    expect(Array.from(parts).reduce((sum, part) => sum + part, 0)).toBeCloseTo(score, 6);
  const ekfac = await influence(model, instances, instances, { inverse: "ekfac" });
  const store = await buildGradientStore(model, instances, fresh(), { rank: 2 });
  const inf = await storeSimilarity(store, await queryFeatures(model, instances, store), {
    preconditioner: "dataInf",
    topK: undefined,
  });
  for (const { scores } of [ekfac, inf]) expect(Array.from(scores).every(Number.isFinite)).toBe(true);
});
