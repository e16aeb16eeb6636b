// node memory-child.js JOB: loads the model, runs the call once, prints resident memory before it and at its peak. Linux only.
import { readFileSync, writeFileSync } from "node:fs";
import { comprehensiveness, createInstances, gradientSimilarity, integratedGradients, loadModel, sufficiency } from "../lib/index";
import type { MemoryJob, PeakMemory } from "./memory";

/** Bytes of a line of /proc/self/status. */
function resident(line: "VmRSS" | "VmHWM"): number {
  const match = new RegExp(`^${line}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"));
  if (match === null) throw new Error(`No ${line} in /proc/self/status`);
  return Number(match[1]) * 1024;
}

async function measured({ directory, rows, budget, call }: MemoryJob): Promise<PeakMemory> {
  using model = await loadModel(directory);
  const instances = createInstances({ kind: "classification", rows });
  const memory = `${budget} MB`;
  const loaded = resident("VmRSS");
  writeFileSync("/proc/self/clear_refs", "5"); // the peak starts anew
  if (call === "similarity") {
    const side = (chosen: readonly (readonly number[])[]) => createInstances({ kind: "classification", rows: chosen, labels: chosen.map((_, i) => i % 3) });
    await gradientSimilarity(model, side(rows.slice(0, -32)), side(rows.slice(-32)), { parameters: "mlp", memory });
    return { loaded, peak: resident("VmHWM") };
  }
  const attribution = await integratedGradients(model, instances, { memory, nodes: call === "curves" ? 1 : 20 });
  if (call === "curves") {
    await sufficiency(model, instances, attribution, { memory });
    await comprehensiveness(model, instances, attribution, { memory });
  }
  return { loaded, peak: resident("VmHWM") };
}

void measured(JSON.parse(process.argv[2]) as MemoryJob).then((result) => console.log(JSON.stringify(result)));
