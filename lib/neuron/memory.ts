// What neuron attribution will take, counted before it is run.
import type { ComputeType } from "../../types/architecture";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeNeuronMemory } from "../../types/native";
import type { NeuronMemory, Site } from "../../types/results";
import { callNative } from "../native";
import { checkFit } from "../model/fit";
import { memoryOf, oneOf, onlyKnown } from "../options";
import { unitsOf } from "./neuron-scores";

export interface NeuronMemoryOptions {
  /** "scores": integrated gradients, gradient, gradient × activation, attribution patching. "changes": ablation, interventions, faithfulness tests, Shapley values. "forwards": conductance, other positions than the readout, the full engine. @default "scores" */
  readonly work?: "scores" | "changes" | "forwards";
  /** The budget that will be given. @default "1 GB" */
  readonly memory?: number | string;
  /** @default "neurons" */
  readonly site?: Site;
}

/**
 * Bytes that neuron methods take beside the model, for the most demanding instance run alone, stage by stage: the prefix cache, the
 * forward that fills it, and one changed row; `least` is the smallest budget that is not refused (code "memory"), `result` the
 * scores of all instances, which come on top. More budget puts more rows and instances into one run and changes time only. Pure:
 * runs nothing.
 * @example estimateNeuronMemory(model, queries, { memory: "256 MB" }) // { fits: true, least: 41_000_000, … }
 */
export function estimateNeuronMemory(model: Model, instances: Instances, options?: NeuronMemoryOptions): NeuronMemory {
  const given = onlyKnown(options, ["work", "memory", "site"]);
  const work = oneOf(given, "work", "scores", ["scores", "changes", "forwards"]);
  const site = oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  const budget = memoryOf(given, "1 GB");
  checkFit(model, instances, "instances");
  const { architecture, dtype } = model;
  const effort = work === "scores" ? "gradients" : work === "changes" ? "rows" : "forwards";
  let most: NativeNeuronMemory = { cache: 0, forward: 0, variant: 0 };
  for (const shape of shapesOf(instances)) {
    const found = callNative((addon) =>
      addon.neuronMemory({ architecture, dtype: dtype satisfies ComputeType, instances: 1, ...shape, effort }),
    );
    if (leastOf(found) > leastOf(most)) most = found;
  }
  const least = leastOf(most);
  const result = instances.size * architecture.layers * unitsOf(architecture, site) * Float32Array.BYTES_PER_ELEMENT;
  return Object.freeze({
    cache: most.cache,
    forward: most.forward,
    row: most.variant,
    least,
    fits: least <= budget,
    rowsAtOnce: Math.max(0, Math.floor((budget - most.cache) / most.variant)),
    result,
  });
}

const leastOf = ({ cache, forward, variant }: NativeNeuronMemory): number => cache + Math.max(forward, variant);

/** The longest row for each number of rows that instances have. */
function shapesOf({ size, rowOffsets, groupOffsets }: Instances): { rows: number; longest: number }[] {
  const longest = new Map<number, number>();
  for (let i = 0; i < size; i++) {
    const rows = groupOffsets[i + 1] - groupOffsets[i];
    let most = longest.get(rows) ?? 0;
    for (let row = groupOffsets[i]; row < groupOffsets[i + 1]; row++)
      most = Math.max(most, rowOffsets[row + 1] - rowOffsets[row]);
    longest.set(rows, most);
  }
  return [...longest].map(([rows, most]) => ({ rows, longest: most }));
}
