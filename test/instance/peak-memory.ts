// Peak resident memory of one call above the loaded model, in a process of its own:
// `node --expose-gc --require typescript.cjs peak-memory.ts WORK MEMORY`. A call on short instances first: libtorch loads and compiles then.
import { mkdtemp, rm } from "node:fs/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInstances, selectInstances } from "../../lib/data/instances";
import { breakdown } from "../../lib/instance/breakdown";
import { dataInf } from "../../lib/instance/data-inf";
import { fitEkfac } from "../../lib/instance/ekfac/ekfac-factors";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { selfInfluence } from "../../lib/instance/self-influence";
import { trak } from "../../lib/instance/trak";
import { createModel } from "../../lib/model/create-model";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { GradientStore } from "../../types/store";

const config = {
  model_type: "opt",
  vocab_size: 4000,
  hidden_size: 256,
  word_embed_proj_dim: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  ffn_dim: 1024,
  max_position_embeddings: 256,
  activation_function: "relu",
  do_layer_norm_before: true,
};

interface Data {
  readonly train: Instances;
  readonly queries: Instances;
  /** Made when it is first asked for. */
  readonly store: () => Promise<GradientStore>;
  readonly folder: string;
}
type Work = (model: Model, data: Data, memory: string) => Promise<unknown>;

const lastMlp = ["layers.1.mlp.*"];
const solved =
  (options: InfluenceOptions): Work =>
  (model, { train, queries }, memory) =>
    influence(model, train, queries, { iterations: 3, recursions: 3, ...options, memory });

let folders = 0;
const works: Readonly<Record<string, Work>> = {
  similarity: (model, { train, queries }, memory) => gradientSimilarity(model, train, queries, { memory }),
  cg: solved({ inverse: "cg", parameters: lastMlp, engine: "full", damping: 1e6 }),
  cached: solved({ inverse: "cg", parameters: lastMlp, damping: 1e6 }),
  lissa: solved({ inverse: "lissa", parameters: lastMlp, engine: "full", scale: 1e8 }),
  arnoldi: solved({ inverse: "arnoldi", parameters: lastMlp, engine: "full", rank: 2 }),
  ekfac: solved({ inverse: "ekfac", parameters: "mlp" }),
  fitEkfac: (model, { train, folder }, memory) =>
    fitEkfac(model, train, join(folder, `factors-${folders++}`), { memory, parameters: "mlp" }),
  self: (model, { train }, memory) => selfInfluence(model, train, { memory, inverse: "identity", parameters: "mlp" }),
  parts: async (model, { train, queries }, memory) => {
    const scores = await gradientSimilarity(model, train, queries, { memory, parameters: lastMlp });
    return breakdown(model, train, queries, scores, { memory, by: "trainToken", topK: 4 });
  },
  trak: async (model, { store, queries }, memory) => trak(model, await store(), queries, { memory }),
  gaussNewton: async (model, { store, queries }, memory) =>
    projectedGaussNewton(model, await store(), queries, { memory, similarity: "cosine" }),
  dataInf: async (model, { store, queries }, memory) => dataInf(model, await store(), queries, { memory }),
  selfStore: async (_model, { store }, memory) =>
    selfInfluence(await store(), { memory, preconditioner: "gaussNewton" }),
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

const side = (count: number, length: (i: number) => number): Instances =>
  createInstances({
    kind: "classification",
    rows: Array.from({ length: count }, (_, i) =>
      Int32Array.from({ length: length(i) }, (_token, t) => (i * 733 + t * 389) % 4000),
    ),
    labels: Array.from({ length: count }, (_, i) => i % 3),
  });

async function main(): Promise<void> {
  const [work, memory] = process.argv.slice(2);
  const folder = await mkdtemp(join(tmpdir(), "attribution-peak-"));
  try {
    const model = await createModel(config, { labels: ["a", "b", "c"] });
    const [train, queries] = [side(24, (i) => 120 - (i % 7) * 10), side(4, () => 90)];
    let made: Promise<GradientStore> | undefined;
    const store = () => (made ??= buildGradientStore(model, train, join(folder, "store"), { rank: 16 }));
    const data = { train, queries, store, folder };
    const short = {
      ...data,
      train: selectInstances(
        side(8, () => 3),
        [0, 1, 2],
      ),
      queries: side(2, () => 3),
    };
    await works[work](model, short, memory);
    const first = await peakOf(() => works[work](model, data, memory));
    const second = await peakOf(() => works[work](model, data, memory));
    process.stdout.write(`${JSON.stringify({ first, second })}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

void main();
