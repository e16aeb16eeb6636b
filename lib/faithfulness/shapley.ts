// Shapley values of chosen units: the reference that other scores are compared with.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { ShapleyValues, Site } from "../../types/results";
import { AttributionError } from "../errors";
import { libtorchVersion } from "../native";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { type Baseline, shownBaseline } from "../neuron/baseline";
import { type Change, changeUnits, siteOf, type UnitList, unitLists } from "../neuron/changed-units";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions, targetWords } from "../neuron/target";
import { integer, oneOf, onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { partOf } from "./curve";
import { exactGame, type Game, mostExact, sampledGame } from "./shapley-games";

export interface ShapleyOptions extends BatchOptions, TargetOptions {
  /** "exact": every coalition, for up to 16 units. "sampled": random orders. @default "exact" up to 10 units */
  readonly method?: "exact" | "sampled";
  /** Random orders per instance; an even number where antithetic. @default 200 */
  readonly permutations?: number;
  /** Each order is followed by its reverse, which takes out what is linear in the position. @default "antithetic" */
  readonly sampling?: "antithetic" | "plain";
  /** What units outside a coalition become. @default "zero" */
  readonly baseline?: Baseline;
  /** What a unit without `site` is; with "both" its number counts a layer's neurons, then its heads. @default "neurons" */
  readonly site?: Site;
  /** @default 42 */
  readonly seed?: number;
  /** What a batch's prefix cache and changed rows may take together. @default "1 GB" */
  readonly memory?: number | string;
  /** "cache": one-token rows over the prefix; "full": full forwards, the slow reference. @default "cache" */
  readonly engine?: "cache" | "full";
}

const names = [
  ...batchOptionNames,
  ...targetOptionNames,
  "method",
  "permutations",
  "sampling",
  "baseline",
  "site",
  "seed",
  "memory",
  "engine",
];

/**
 * φᵢ = Σ over coalitions S without i of |S|! (n − |S| − 1)! / n! · (F(S ∪ i) − F(S)), F(S) the target with the chosen units outside S
 * set to `baseline` at the readout position and all other units untouched. The values of an instance sum to F(all) − F(none).
 * Positive: the unit raises F. Unit: that of F. `units` is one list for all instances or a list of as many for each.
 * Exact for up to 10 units, else the mean over random orders with its standard error (antithetic pairs count as one sample).
 * Source: Shapley 1953; Castro et al. 2009; Mitchell et al. 2022 (antithetic). Cost: one forward per instance, and 2ⁿ or
 * permutations × (n − 1) one-token rows.
 * @example const { values, standardErrors } = await shapleyValues(model, queries, top(na, 0, 10));
 */
export async function shapleyValues(
  model: Model,
  instances: Instances,
  units: UnitList,
  options?: ShapleyOptions,
): Promise<ShapleyValues> {
  const given = onlyKnown(options, names);
  checkFit(model, instances, "instances");
  const site = siteOf(units, given);
  const lists = unitLists(units, instances.size, model.architecture, site);
  const players = lists[0].length;
  const other = lists.findIndex((list) => list.length !== players);
  if (other >= 0)
    throw new AttributionError(
      "invalid",
      `Expected as many distinct units for each instance, but instance 0 has ${players} and instance ${other} has ${lists[other].length}`,
    );
  const method = oneOf(given, "method", players <= 10 ? "exact" : "sampled", ["exact", "sampled"]);
  if (players < 1 || (method === "exact" && players > mostExact))
    throw new AttributionError(
      "invalid",
      `Expected 1–${mostExact} units for exact values but received ${players}; use method: "sampled"`,
    );
  const target = targetOf(given, instances);
  const settings = {
    permutations: integer(given, "permutations", 200, 4, 1e6),
    antithetic: oneOf(given, "sampling", "antithetic", ["antithetic", "plain"]) === "antithetic",
    seed: seedOf(given),
  };
  if (settings.antithetic && settings.permutations % 2 === 1)
    throw new AttributionError(
      "invalid",
      `Expected an even number of "permutations" for antithetic sampling but received ${settings.permutations}`,
    );
  const game = method === "exact" ? exactGame(players, instances.size) : sampledGame(players, instances.size, settings);
  const found = await play(
    game,
    model,
    instances,
    lists,
    { site, change: "suppress", baseline: options?.baseline, target },
    given,
    options,
  );
  const shown = {
    method,
    ...(method === "sampled" ? settings : {}),
    site,
    baseline: shownBaseline(options?.baseline),
    ...shownTarget(target),
  };
  return Object.freeze({
    ...game.values(),
    units: Int32Array.from(lists.flatMap((list) => [...list])),
    instances: instances.size,
    players,
    site,
    ...found,
    evaluations: game.evaluations,
    unit: targetWords(given),
    provenance: provenance({
      method: "shapleyValues",
      options: shown,
      model,
      data: { instances },
      libtorch: libtorchVersion(),
    }),
  });
}

/** Set entries that a native call gets at a time: 16 MB. */
const unitsAtOnce = 1 << 22;

/** Evaluates the game's coalitions, a block of instances and of coalitions at a time. */
async function play(
  game: Game,
  model: Model,
  instances: Instances,
  lists: readonly Int32Array[],
  change: Change,
  given: Readonly<Record<string, unknown>>,
  call?: BatchOptions,
): Promise<Pick<ShapleyValues, "all" | "none" | "targetLabels">> {
  const [all, none, targetLabels] = [
    new Float64Array(instances.size),
    new Float64Array(instances.size),
    new Int32Array(instances.size),
  ];
  const block = Math.max(1, Math.floor(unitsAtOnce / (game.round * lists[0].length)));
  for (let first = 0; first < instances.size; first += block) {
    const count = Math.min(block, instances.size - first);
    const part = partOf(instances, change.target, first, count);
    for (let round = 0; round < game.rounds; round++) {
      await call?.onProgress?.({
        done: first * game.rounds + round * count,
        total: instances.size * game.rounds,
        stage: "Shapley values",
      });
      const { offsets, units } = laid(game, lists, first, count, round);
      const sets = (offsets.length - 1) / count;
      const changed = await changeUnits(
        model,
        part.instances,
        { sets, offsets, units },
        { ...change, target: part.target },
        given,
        { signal: call?.signal },
      );
      for (let i = 0; i < count; i++)
        game.take(first + i, round, changed.changedValues.subarray(i * sets, (i + 1) * sets), changed.values[i]);
      all.set(changed.values, first);
      targetLabels.set(changed.labels, first);
    }
    for (let i = first; i < first + count; i++) none[i] = game.none(i);
  }
  await call?.onProgress?.({
    done: instances.size * game.rounds,
    total: instances.size * game.rounds,
    stage: "Shapley values",
  });
  return { all, none, targetLabels };
}

/** The suppressed units of every coalition of a round: those outside it. */
function laid(
  game: Game,
  lists: readonly Int32Array[],
  first: number,
  count: number,
  round: number,
): { offsets: Int32Array; units: Int32Array } {
  const sets = Array.from({ length: count }, (_, i) =>
    game.outside(first + i, round).map((players) => players.map((player) => lists[first + i][player])),
  ).flat();
  const offsets = new Int32Array(sets.length + 1);
  sets.forEach((set, i) => {
    offsets[i + 1] = offsets[i] + set.length;
  });
  const units = new Int32Array(offsets[sets.length]);
  sets.forEach((set, i) => units.set(set, offsets[i]));
  return { offsets, units };
}
