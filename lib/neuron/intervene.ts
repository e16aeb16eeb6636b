// Interventions: what a prediction becomes when chosen units are suppressed, scaled, replaced, or kept alone.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Intervention } from "../../types/results";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { libtorchVersion } from "../native";
import { onlyKnown } from "../options";
import { provenance } from "../provenance";
import { shownBaseline } from "./baseline";
import {
  changeOf,
  type ChangeOptions,
  changeOptionNames,
  changeUnits,
  kindOf,
  oneSetEach,
  siteOf,
  type UnitList,
  unitLists,
} from "./changed-units";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions } from "./target";

export interface InterveneOptions extends BatchOptions, TargetOptions, ChangeOptions {
  /** What a batch's prefix cache and changed rows may take together. @default "1 GB" */
  readonly memory?: number | string;
  /** "cache": one-token rows over the prefix; "full": one full forward, the slow reference. @default "cache" */
  readonly engine?: "cache" | "full";
}

const names = [...batchOptionNames, ...targetOptionNames, ...changeOptionNames, "memory", "engine"];

/**
 * Changes units at the readout position and says what becomes of each instance: `after.targetValues` is F of the same class as
 * `before.targetValues`, so their difference is what the units do to it; below 0 on suppression means that they supported it.
 * `units` is one list for all instances or a list for each. Unit: that of F. Nothing of the model is changed for later calls.
 * Cost: one forward and one one-token row per instance.
 * @example const { before, after } = await intervene(model, queries, top(na, 0, 10), { kind: "scale", factor: 2 });
 */
export async function intervene(
  model: Model,
  instances: Instances,
  units: UnitList,
  options?: InterveneOptions,
): Promise<Intervention> {
  const given = onlyKnown(options, names);
  const kind = kindOf(given);
  checkFit(model, instances, "instances");
  const own = changeOf(given, options);
  const site = siteOf(units, given);
  const target = targetOf(given, instances);
  const lists = unitLists(units, instances.size, model.architecture, site);
  const result = await changeUnits(model, instances, oneSetEach(lists), { site, ...own, target }, given, options);
  const shown = {
    kind,
    factor: kind === "scale" ? own.factor : null,
    site,
    baseline: shownBaseline(options?.baseline),
    ...shownTarget(target),
    units: lists.map((list) => [...list]),
  };
  return Object.freeze({
    targetLabels: result.labels,
    before: Object.freeze({ predictions: result.predictions, targetValues: result.values }),
    after: Object.freeze({ predictions: result.changedPredictions, targetValues: result.changedValues }),
    provenance: provenance({
      method: "intervene",
      options: shown,
      model,
      data: { instances },
      libtorch: libtorchVersion(),
    }),
  });
}
