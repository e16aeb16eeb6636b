// Interventions: what a prediction becomes when chosen units are suppressed, scaled, replaced, or kept alone.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Intervention, Site } from "../../types/results";
import { AttributionError } from "../errors";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { libtorchVersion } from "../native";
import { number, oneOf, onlyKnown } from "../options";
import { provenance } from "../provenance";
import { type Baseline, shownBaseline } from "./baseline";
import { changeUnits, siteOf, type UnitList, unitLists } from "./changed-units";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions } from "./target";

export interface InterveneOptions extends BatchOptions, TargetOptions {
  /**
   * "suppress": the units become 0. "scale": their value times `factor`. "replace": they take the `baseline`'s value.
   * "keepOnly": all other units of the site take it (0 without one).
   * @default "suppress"
   */
  readonly kind?: "suppress" | "scale" | "replace" | "keepOnly";
  /** With "scale": 2 doubles, 0 suppresses. */
  readonly factor?: number;
  /** With "replace" and "keepOnly": values as `meanActivations` and `capture` give them. */
  readonly baseline?: Baseline;
  /** What a unit without `site` is; with "both" its number counts a layer's neurons, then its heads. @default "neurons" */
  readonly site?: Site;
  /** What a batch's prefix cache and changed rows may take together. @default "1 GB" */
  readonly memory?: number | string;
  /** "cache": one-token rows over the prefix; "full": one full forward, the slow reference. @default "cache" */
  readonly engine?: "cache" | "full";
}

const names = [...batchOptionNames, ...targetOptionNames, "kind", "factor", "baseline", "site", "memory", "engine"];
const kinds = ["suppress", "scale", "replace", "keepOnly"] as const;

/**
 * Changes units at the readout position and says what becomes of each instance: `after.targetValues` is F of the same class as
 * `before.targetValues`, so their difference is what the units do to it; below 0 on suppression means that they supported it.
 * `units` is one list for all instances or a list for each. Unit: that of F. Nothing of the model is changed for later calls.
 * Cost: one forward and one one-token row per instance.
 * @example const { before, after } = await intervene(model, queries, top(na, 0, 10), { kind: "scale", factor: 2 });
 */
export async function intervene(model: Model, instances: Instances, units: UnitList, options?: InterveneOptions): Promise<Intervention> {
  const given = onlyKnown(options, names);
  const kind = oneOf(given, "kind", "suppress", kinds);
  checkFit(model, instances, "instances");
  checkKind(kind, given);
  const factor = kind === "scale" ? number(given, "factor", 1, -1e6, 1e6) : 1;
  const site = siteOf(units, given);
  const target = targetOf(given, instances);
  const lists = unitLists(units, instances.size, model.architecture, site);
  const change = { site, change: kind === "replace" ? "suppress" as const : kind, factor, baseline: options?.baseline, target };
  const result = await changeUnits(model, instances, oneSetEach(lists), change, given, options);
  const shown = { kind, factor: kind === "scale" ? factor : null, site, baseline: shownBaseline(options?.baseline), ...shownTarget(target), units: lists.map((list) => [...list]) };
  return Object.freeze({
    targetLabels: result.labels,
    before: Object.freeze({ predictions: result.predictions, targetValues: result.values }),
    after: Object.freeze({ predictions: result.changedPredictions, targetValues: result.changedValues }),
    provenance: provenance({ method: "intervene", options: shown, model, data: { instances }, libtorch: libtorchVersion() }),
  });
}

function checkKind(kind: (typeof kinds)[number], given: Readonly<Record<string, unknown>>): void {
  const contradicts = (name: string) => new AttributionError("invalid", `"${name}" has no meaning with kind: "${kind}"; leave it out`);
  if (kind === "scale" && given["factor"] === undefined) throw new AttributionError("missing", 'kind: "scale" needs a "factor"');
  if (kind === "replace" && given["baseline"] === undefined) throw new AttributionError("missing", 'kind: "replace" needs a "baseline"');
  if (kind !== "scale" && given["factor"] !== undefined) throw contradicts("factor");
  if ((kind === "scale" || kind === "suppress") && given["baseline"] !== undefined) throw contradicts("baseline");
}

function oneSetEach(lists: readonly Int32Array[]): { sets: number; offsets: Int32Array; units: Int32Array } {
  const offsets = new Int32Array(lists.length + 1);
  lists.forEach((list, i) => { offsets[i + 1] = offsets[i] + list.length; });
  const units = new Int32Array(offsets[lists.length]);
  lists.forEach((list, i) => units.set(list, offsets[i]));
  return { sets: 1, offsets, units };
}
