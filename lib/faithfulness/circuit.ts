// The circuit of a behaviour: the fewest units, best first, that carry a given share of it.
import type { Circuit } from "../../types/circuits";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, RankedPart } from "../../types/results";
import { targetWords } from "../neuron/target";
import { leastAboveZero, number, oneOf, onlyKnown } from "../options";
import { descendingOrder } from "../ordering";
import { pacedBy } from "../pacing";
import { pacedBootstrapOf } from "../statistics";
import {
  endsOf,
  faithfulnessOf,
  type Kept,
  type KeptOptions,
  keptOptionNames,
  keptUnits,
  provenanceOf,
} from "./kept-units";

export interface CircuitOptions extends KeptOptions {
  /** The share of the behaviour that the circuit must carry, f ≥ share. @default 0.8 */
  readonly share?: number;
  /**
   * "bisect": the size is bisected; the circuit carries the share and does not without its last unit. "every": all sizes from 1 on are
   * measured, so that no smaller one carries the share; the same where f rises with the size.
   * @default "bisect"
   */
  readonly search?: "bisect" | "every";
}

/** Sizes that are measured at a time. */
const together = 16;

/**
 * The first k units C by score (mean over the attribution's rows), k as small as f(C) ≥ `share` allows, one set for all instances:
 * f(C) = (m(C) − m(∅)) / (m(N) − m(∅)), m the mean of F with the site's units outside C set to `baseline` at the readout position.
 * Beside it random sets of k units, and bootstrap intervals over instances. The attribution's rows may be of other instances, so that
 * the circuit is tested on held-out ones. Unit: f is a share, 1 for all units and 0 for none; above 1 where the rest counteracts.
 * Source: Mueller et al. 2025 (MIB, arXiv 2504.13151). Cost: a forward per instance and round, and some 16 × log₁₆(units) + controls
 * one-token rows; with search: "every" one row for each size up to k.
 * @example const { units, faithfulness, randomFaithfulness } = await circuit(model, heldOut, na, { share: 0.9, target: "logit" });
 */
export async function circuit(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: CircuitOptions,
): Promise<Circuit> {
  const given = onlyKnown(options, [...keptOptionNames, "share", "search"]);
  const share = number(given, "share", 0.8, leastAboveZero, 1);
  const search = oneOf(given, "search", "bisect", ["bisect", "every"]);
  const kept = keptUnits(model, instances, attribution, "task", given, options);
  const { all, values: none } = await kept.measure([0], [0], { signal: options?.signal });
  const ends = endsOf(all, none);
  const every = Array.from({ length: instances.size }, (_, i) => i);
  const reaches = async (sizes: readonly number[]): Promise<boolean[]> => {
    const measured = await kept.measure(sizes, [0], { signal: options?.signal });
    return Array.from(faithfulnessOf(measured, none, every, sizes.length), (f) => f >= share);
  };
  const size = await smallest(kept.all, search, reaches, async (done, total) => {
    await options?.onProgress?.({ done, total, stage: "circuit" });
  });
  const draws = Array.from({ length: 1 + kept.controls }, (_, draw) => draw);
  const measured = await kept.measure([size], draws, { signal: options?.signal });
  const estimate = await pacedBootstrapOf(
    instances.size,
    (picks) => withMeanOfRest(faithfulnessOf(measured, none, picks, draws.length)),
    pacedBy(options?.signal),
    { seed: kept.seed },
  );
  return Object.freeze({
    kind: "circuit",
    site: attribution.site,
    units: Object.freeze(unitsOf(kept, attribution, size)),
    size,
    fraction: size / kept.all,
    faithfulness: estimate[0],
    randomFaithfulness: estimate[1],
    ...ends,
    unit: targetWords(given),
    provenance: provenanceOf("circuit", { share, search }, { model, instances, attribution, kept, given, options }),
  });
}

/** The smallest size within 1 … all whose set reaches the share; all units do. */
async function smallest(
  all: number,
  search: "bisect" | "every",
  reaches: (sizes: readonly number[]) => Promise<boolean[]>,
  report: (done: number, total: number) => Promise<void>,
): Promise<number> {
  const rounds = 2 + Math.ceil(Math.log(all) / Math.log(together));
  let [below, reached] = [0, all]; // f(below) < share ≤ f(reached)
  for (let round = 0; below + 1 < reached; round++) {
    await report(search === "every" ? below : round, search === "every" ? all : rounds);
    const sizes = search === "every" ? following(below, reached) : between(below, reached, round === 0);
    const first = (await reaches(sizes)).indexOf(true);
    if (first >= 0) reached = sizes[first];
    below = first === 0 ? below : first < 0 ? sizes.at(-1)! : sizes[first - 1];
  }
  await report(1, 1);
  return reached;
}

function following(below: number, reached: number): number[] {
  return Array.from({ length: Math.min(together, reached - 1 - below) }, (_, i) => below + 1 + i);
}

/** Sizes between two others: the powers of two at first, then evenly. */
function between(below: number, reached: number, isFirst: boolean): number[] {
  if (isFirst) return Array.from({ length: Math.ceil(Math.log2(reached)) }, (_, i) => 2 ** i);
  const step = (reached - below) / (together + 1);
  const sizes = Array.from({ length: together }, (_, i) => below + Math.round((i + 1) * step));
  return [...new Set(sizes)].filter((size) => size > below && size < reached);
}

/** The first of the numbers, and the mean of the others. */
function withMeanOfRest([first, ...rest]: Float64Array): number[] {
  return [first, rest.reduce((sum, value) => sum + value, 0) / rest.length];
}

function unitsOf({ meanScores, order }: Kept, { units, site }: NeuronAttribution, size: number): readonly RankedPart[] {
  const ranked = descendingOrder(order === "score" ? meanScores : meanScores.map(Math.abs)).subarray(0, size);
  return Array.from(ranked, (index) =>
    Object.freeze({ index, layer: Math.floor(index / units), unit: index % units, site, score: meanScores[index] }),
  );
}
