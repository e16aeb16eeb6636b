// node busy-child.js JOB: loads the model, runs the call once unmeasured, then several times; prints the seconds of each.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  buildGradientStore,
  createInstances,
  fineTune,
  gradientSimilarity,
  influence,
  integratedGradients,
  loadModel,
  type Model,
} from "../lib/index";
import type { BusyJob } from "./busy";
import { seconds } from "./timing";

async function called(model: Model, { rows, call }: BusyJob): Promise<void> {
  const instances = createInstances({ kind: "classification", rows, labels: rows.map((_, i) => i % 3) });
  if (call === "fineTune") (await fineTune(model, instances, { epochs: 3, batchSize: 8, seed: 1 })).close();
  else if (call === "integratedGradients") await integratedGradients(model, instances, { nodes: 20 });
  else if (call === "gradientSimilarity") await gradientSimilarity(model, instances, instances);
  else if (call === "influence") await influence(model, instances, instances, { inverse: "ekfac", parameters: "mlp" });
  else await inFolder((folder) => buildGradientStore(model, instances, join(folder, "store"), { rank: 16 }));
}

async function inFolder(use: (folder: string) => Promise<unknown>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "attribution-busy-"));
  await use(folder).finally(() => rm(folder, { recursive: true, force: true }));
}

async function measured(job: BusyJob): Promise<number[]> {
  using model = await loadModel(job.directory);
  await called(model, job);
  const taken: number[] = [];
  for (let i = 0; i < job.repeats; i++) taken.push(await seconds(() => called(model, job)));
  return taken;
}

void measured(JSON.parse(process.argv[2]) as BusyJob).then((taken) => console.log(JSON.stringify(taken)));
