// Sets of units changed at the readout position: what interventions, faithfulness tests and Shapley values are made of.
import type { Architecture } from "../../types/architecture";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeTarget, NativeUnitSetResult, NativeUnitSets } from "../../types/native";
import type { Site, UnitPlace } from "../../types/results";
import { expected } from "../errors";
import { batchTokensOf } from "../model/batching";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { memoryOf, oneOf } from "../options";
import { type Baseline, baselineOf } from "./baseline";
import { unitsOf } from "./neuron-scores";

/** For each instance the same number of sets: set s of instance i is units[offsets[i · sets + s] … offsets[i · sets + s + 1]), a unit being layer · units of a layer + unit. */
export interface UnitSets {
  readonly sets: number;
  readonly offsets: Int32Array;
  readonly units: Int32Array;
}

export interface Change {
  readonly site: Site;
  readonly change: NativeUnitSets["change"];
  /** With "scale". @default 1 */
  readonly factor?: number;
  /** What suppressed units, or those not kept, become. @default "zero" */
  readonly baseline?: Baseline;
  readonly target: NativeTarget;
}

/** Runs all sets over the prefix cache (or by full forwards: `engine`); `given` holds the call's engine, memory and batchTokens. */
export function changeUnits(model: Model, instances: Instances, sets: UnitSets, change: Change, given: Readonly<Record<string, unknown>>, call?: CallOptions): Promise<NativeUnitSetResult> {
  const { architecture } = model;
  const { site, baseline, factor = 1 } = change;
  const replacement = (at: "neurons" | "heads") => (site === at || site === "both" ? baselineOf(baseline, architecture, at) : new Float32Array(0));
  const params: NativeUnitSets = {
    ...sets, site, change: change.change, factor, neuronReplacement: replacement("neurons"), headReplacement: replacement("heads"), target: change.target,
    fullPath: oneOf(given, "engine", "cache", ["cache", "full"]) === "full", batchTokens: batchTokensOf(given), memoryBytes: memoryOf(given, "1 GB"),
  };
  return runNative((control) => native().changeUnits(handleOf(model), instances, params, control), call);
}

/** Units of one or of each instance, as `top` or `refineNeurons` give them or written by hand. */
export type UnitList = readonly UnitPlace[] | readonly (readonly UnitPlace[])[];

/** Distinct units [instance][unit] in the numbers of a site, from one list for all instances or a list for each. */
export function unitLists(units: UnitList, instances: number, architecture: Architecture, site: Site): Int32Array[] {
  if (!Array.isArray(units) || units.length === 0) throw expected("units", "a non-empty list of units { layer, unit }, or such a list for each instance", units);
  const isPerInstance = Array.isArray(units[0]);
  if (isPerInstance && units.length !== instances) throw expected("units", `a list for each of the ${instances} instances`, `${units.length} lists`);
  const numbers = (list: readonly UnitPlace[]): Int32Array => {
    if (!Array.isArray(list)) throw expected("units", "a list for each instance", list);
    return Int32Array.from(new Set(list.map((place: UnitPlace) => unitNumber(place, architecture, site))));
  };
  if (isPerInstance) return (units as readonly (readonly UnitPlace[])[]).map(numbers);
  const shared = numbers(units as readonly UnitPlace[]);
  return Array.from({ length: instances }, () => shared);
}

function unitNumber(place: UnitPlace, architecture: Architecture, site: Site): number {
  const { layer, unit, site: own = site } = (typeof place === "object" && place !== null ? place : {}) as Partial<UnitPlace>;
  oneOf<Site>({ site: own }, "site", "neurons", ["neurons", "heads", "both"]);
  const count = unitsOf(architecture, own);
  if (!Number.isInteger(layer) || layer! < 0 || layer! >= architecture.layers) throw expected("units", `{ layer } within 0–${architecture.layers - 1}`, place);
  if (!Number.isInteger(unit) || unit! < 0 || unit! >= count) throw expected("units", `{ unit } within 0–${count - 1} of the ${own}`, place);
  const first = site === "both" && own === "heads" ? architecture.intermediate : 0;
  return layer! * unitsOf(architecture, site) + first + unit!;
}

/** The site that holds all units: the option's, widened where units name another. */
export function siteOf(units: UnitList, given: Readonly<Record<string, unknown>>): Site {
  const named = new Set<Site>((Array.isArray(units) ? (units as readonly unknown[]).flat() : []).map((place) => (place as UnitPlace | null)?.site).filter((site) => site !== undefined));
  const asked = given["site"] === undefined ? undefined : oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  if (asked !== undefined) named.add(asked);
  return named.size === 0 ? "neurons" : named.size === 1 ? [...named][0] : "both";
}
