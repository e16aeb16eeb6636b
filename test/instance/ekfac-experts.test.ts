// EK-FAC of a mixture. With one expert, to which the router sends every token, a mixture is the dense model with that expert's weights.
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { influence } from "../../lib/instance/influence";
import { createModel } from "../../lib/model/create-model";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import type { Model } from "../../types/model";
import { golden, relativeDifference } from "../model/golden-cases";
import { scratch } from "../storage/bytes";

const folder = scratch();
const rows = [
  [5, 17, 9, 30],
  [8, 3, 61],
  [44, 12, 7, 7, 90],
];

async function mixture(experts: number): Promise<{ model: Model; directory: string }> {
  const config = JSON.parse(await readFile(join(golden, "mixtral", "config.json"), "utf8")) as Record<string, unknown>;
  const counts = { num_local_experts: experts, num_experts_per_tok: Math.min(2, experts), sliding_window: null };
  const model = await createModel({ ...config, ...counts }, { seed: 3, dtype: "float64" });
  const directory = join(folder, `mixture-${experts}`);
  await saveModel(model, directory, { dtype: "float64" });
  return { model, directory };
}

/** The same weights as a Llama. */
async function dense(directory: string): Promise<Model> {
  const copy = `${directory}-dense`;
  await cp(directory, copy, { recursive: true });
  const config = JSON.parse(await readFile(join(copy, "config.json"), "utf8")) as Record<string, unknown>;
  await writeFile(
    join(copy, "config.json"),
    JSON.stringify({
      ...Object.fromEntries(Object.entries(config).filter(([key]) => !/expert|router|sliding/.test(key))),
      model_type: "llama",
      architectures: ["LlamaForCausalLM"],
    }),
  );
  const own = { w1: "gate_proj", w2: "down_proj", w3: "up_proj" } as const;
  const { tensors } = await readTensors(join(directory, "model.safetensors"));
  const renamed = Object.entries(tensors).flatMap(([name, tensor]) =>
    name.endsWith("block_sparse_moe.gate.weight")
      ? []
      : [[name.replace(/block_sparse_moe\.experts\.0\.(w[123])/, (_, w: keyof typeof own) => `mlp.${own[w]}`), tensor]],
  );
  await writeSafetensors(join(copy, "model.safetensors"), Object.fromEntries(renamed) as typeof tensors);
  return loadModel(copy, { dtype: "float64" });
}

test("of one expert equals that of the dense model", async () => {
  const { model, directory } = await mixture(1);
  using _mixture = model;
  using llama = await dense(directory);
  const instances = createInstances({ kind: "causalLM", rows });
  const options = { inverse: "ekfac", fisher: "empirical", damping: 0.1 } as const;
  const [own, wanted] = [
    await influence(model, instances, instances, { ...options, parameters: ["*.experts.*"] }),
    await influence(llama, instances, instances, { ...options, parameters: "mlp" }),
  ];
  expect(relativeDifference(own.scores, wanted.scores)).toBeLessThan(1e-9);
});

test("does not depend on the batches, in which experts see many tokens or none", async () => {
  const { model } = await mixture(3);
  using _closed = model;
  const instances = createInstances({ kind: "causalLM", rows });
  const options = { inverse: "ekfac", fisher: "empirical", damping: 0.1, parameters: ["*.experts.*"] } as const;
  const [together, alone] = [
    await influence(model, instances, instances, options),
    await influence(model, instances, instances, { ...options, batchTokens: 1 }),
  ];
  expect(relativeDifference(alone.scores, together.scores)).toBeLessThan(1e-9);
});
