// Peak resident memory of one call above the loaded model, in a process of its own: `node --expose-gc --require typescript.cjs peak-memory.ts WORK MEMORY`.
// A call on short instances loads what libtorch loads once (code, threads). Then the same call twice: in the first libtorch also
// compiles a kernel for every shape it meets and keeps it; the second shows what the work itself takes.
import { readFileSync, writeFileSync } from "node:fs";
import { createInstances, selectInstances } from "../../lib/data/instances";
import { comprehensiveness } from "../../lib/faithfulness/comprehensiveness";
import { createModel } from "../../lib/model/create-model";
import { ablation } from "../../lib/neuron/ablation";
import { conductance } from "../../lib/neuron/conductance";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { integratedGradientsStream } from "../../lib/neuron/integrated-gradients-stream";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";

const config = {
  model_type: "opt",
  vocab_size: 8000,
  hidden_size: 512,
  word_embed_proj_dim: 512,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  ffn_dim: 2048,
  max_position_embeddings: 512,
  activation_function: "relu",
  do_layer_norm_before: true,
};

type Work = (model: Model, instances: Instances, memory: string) => Promise<unknown>;
const works: Readonly<Record<string, Work>> = {
  integratedGradients: (model, instances, memory) =>
    integratedGradients(model, instances, { memory, nodes: 10, batchTokens: 100_000 }),
  languageModel: (model, instances, memory) =>
    integratedGradients(model, instances, { memory, nodes: 10, batchTokens: 100_000 }),
  all: (model, instances, memory) =>
    integratedGradients(model, selectInstances(instances, [0, 1, 2, 3]), {
      memory,
      nodes: 2,
      positions: "all",
      batchTokens: 100_000,
    }),
  conductance: (model, instances, memory) =>
    conductance(model, selectInstances(instances, [0, 1, 2, 3, 4, 5, 6, 7]), {
      memory,
      nodes: 3,
      batchTokens: 100_000,
    }),
  ablation: (model, instances, memory) =>
    ablation(model, selectInstances(instances, [0, 1, 2, 3]), { memory, batchTokens: 100_000 }),
  comprehensiveness: async (model, instances, memory) => {
    const attribution = await integratedGradients(model, instances, { memory, nodes: 1, batchTokens: 100_000 });
    return comprehensiveness(model, instances, attribution, { memory, batchTokens: 100_000 });
  },
  stream: async (model, instances, memory) => {
    for await (const block of integratedGradientsStream(model, instances, { memory, nodes: 5, batchTokens: 100_000 }))
      void block;
  },
};

function status(field: "VmRSS" | "VmHWM"): number {
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
}

async function peakOf(call: () => Promise<unknown>): Promise<number> {
  globalThis.gc?.(); // results of calls before
  writeFileSync("/proc/self/clear_refs", "5"); // the high-water mark begins anew
  const before = status("VmRSS");
  await call();
  return status("VmHWM") - before;
}

async function main(): Promise<void> {
  const [work, memory] = process.argv.slice(2);
  const model = await createModel(
    config,
    work === "languageModel" ? { head: { kind: "causalLM" } } : { labels: ["a", "b", "c"] },
  );
  const rows = Array.from({ length: 24 }, (_, i) =>
    Int32Array.from({ length: 300 - (i % 7) * 20 }, (_token, t) => (i * 733 + t * 389) % 8000),
  );
  const instances = createInstances({ kind: model.architecture.head.kind, rows, labels: rows.map((_, i) => i % 3) });
  const short = createInstances({
    kind: model.architecture.head.kind,
    rows: Array.from({ length: 8 }, () => [5, 6, 7]),
    labels: new Array<number>(8).fill(0),
  });
  await works[work](model, short, memory);
  const [first, second] = [
    await peakOf(() => works[work](model, instances, memory)),
    await peakOf(() => works[work](model, instances, memory)),
  ];
  process.stdout.write(`${JSON.stringify({ first, second })}\n`);
}

void main();
