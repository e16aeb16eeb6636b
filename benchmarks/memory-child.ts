// node memory-child.js JOB: loads the model, runs the call once, prints resident memory before it and at its peak. Linux only.
import { readFileSync, writeFileSync } from "node:fs";
import {
  comprehensiveness,
  createInstances,
  gradientSimilarity,
  influence,
  integratedGradients,
  loadModel,
  type Model,
  sufficiency,
} from "../lib/index";
import type { MemoryJob, PeakMemory } from "./memory";

/** Bytes of a line of /proc/self/status. */
function resident(line: "VmRSS" | "VmHWM"): number {
  const match = new RegExp(`^${line}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"));
  if (match === null) throw new Error(`No ${line} in /proc/self/status`);
  return Number(match[1]) * 1024;
}

async function called(model: Model, { rows, budget, call, queries = 32 }: MemoryJob): Promise<void> {
  const memory = `${budget} MB`;
  if (call === "similarity" || call === "ekfac") {
    const side = (chosen: readonly (readonly number[])[]) =>
      createInstances({ kind: "classification", rows: chosen, labels: chosen.map((_, i) => i % 3) });
    const [train, asked] = [side(rows.slice(0, -queries)), side(rows.slice(-queries))];
    if (call === "ekfac") await influence(model, train, asked, { inverse: "ekfac", parameters: "linear", memory });
    else await gradientSimilarity(model, train, asked, { parameters: "mlp", memory });
    return;
  }
  const instances = createInstances({ kind: "classification", rows });
  const attribution = await integratedGradients(model, instances, { memory, nodes: call === "curves" ? 1 : 20 });
  if (call !== "curves") return;
  await sufficiency(model, instances, attribution, { memory });
  await comprehensiveness(model, instances, attribution, { memory });
}

async function measured(job: MemoryJob): Promise<PeakMemory> {
  using model = await loadModel(job.directory);
  const loaded = resident("VmRSS");
  writeFileSync("/proc/self/clear_refs", "5"); // the peak starts anew
  const start = performance.now();
  await called(model, job);
  return { loaded, peak: resident("VmHWM"), seconds: (performance.now() - start) / 1000 };
}

void measured(JSON.parse(process.argv[2]) as MemoryJob).then((result) => console.log(JSON.stringify(result)));
