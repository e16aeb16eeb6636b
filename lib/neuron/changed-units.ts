// Sets of units changed at the readout position: what interventions, faithfulness tests and Shapley values are made of.
import type { Architecture } from "../../types/architecture";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeTarget, NativeUnitSetResult, NativeUnitSets } from "../../types/native";
import type { Site, UnitPlace } from "../../types/results";
import { AttributionError, expected } from "../errors";
import { batchTokensOf } from "../model/batching";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { memoryOf, number, oneOf } from "../options";
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

/** How a call changes its units. */
export interface ChangeOptions {
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
}

export const changeOptionNames = ["kind", "factor", "baseline", "site"] as const;
const kinds = ["suppress", "scale", "replace", "keepOnly"] as const;

export function kindOf(given: Readonly<Record<string, unknown>>): (typeof kinds)[number] {
  return oneOf(given, "kind", "suppress", kinds);
}

/** The change that the options ask for; refuses options that contradict each other. */
export function changeOf(
  given: Readonly<Record<string, unknown>>,
  options: ChangeOptions | undefined,
): Pick<Change, "change" | "factor" | "baseline"> {
  const kind = kindOf(given);
  checkKind(kind, given);
  const factor = kind === "scale" ? number(given, "factor", 1, -1e6, 1e6) : 1;
  return { change: kind === "replace" ? "suppress" : kind, factor, baseline: options?.baseline };
}

function checkKind(kind: (typeof kinds)[number], given: Readonly<Record<string, unknown>>): void {
  const contradicts = (name: string) =>
    new AttributionError("invalid", `"${name}" has no meaning with kind: "${kind}"; leave it out`);
  if (kind === "scale" && given["factor"] === undefined)
    throw new AttributionError("missing", 'kind: "scale" needs a "factor"');
  if (kind === "replace" && given["baseline"] === undefined)
    throw new AttributionError("missing", 'kind: "replace" needs a "baseline"');
  if (kind !== "scale" && given["factor"] !== undefined) throw contradicts("factor");
  if ((kind === "scale" || kind === "suppress") && given["baseline"] !== undefined) throw contradicts("baseline");
}

/** The native form of sets and a change. */
export function nativeSets(
  { architecture }: Model,
  sets: UnitSets,
  { site, change, factor = 1, baseline, target }: Change,
  given: Readonly<Record<string, unknown>>,
): NativeUnitSets {
  const replacement = (at: "neurons" | "heads") =>
    site === at || site === "both" ? baselineOf(baseline, architecture, at) : new Float32Array(0);
  return {
    ...sets,
    site,
    change,
    factor,
    neuronReplacement: replacement("neurons"),
    headReplacement: replacement("heads"),
    target,
    fullPath: oneOf(given, "engine", "cache", ["cache", "full"]) === "full",
    batchTokens: batchTokensOf(given),
    memoryBytes: memoryOf(given, "1 GB"),
  };
}

/** Runs all sets over the prefix cache (or by full forwards: `engine`); `given` holds the call's engine, memory and batchTokens. */
export function changeUnits(
  model: Model,
  instances: Instances,
  sets: UnitSets,
  change: Change,
  given: Readonly<Record<string, unknown>>,
  call?: CallOptions,
): Promise<NativeUnitSetResult> {
  const params = nativeSets(model, sets, change, given);
  return runNative((control) => native().changeUnits(handleOf(model), instances, params, control), call);
}

/** One set per instance. */
export function oneSetEach(lists: readonly Int32Array[]): UnitSets {
  const offsets = new Int32Array(lists.length + 1);
  lists.forEach((list, i) => {
    offsets[i + 1] = offsets[i] + list.length;
  });
  const units = new Int32Array(offsets[lists.length]);
  lists.forEach((list, i) => units.set(list, offsets[i]));
  return { sets: 1, offsets, units };
}

/** Units of one or of each instance, as `top` or `refineNeurons` give them or written by hand. */
export type UnitList = readonly UnitPlace[] | readonly (readonly UnitPlace[])[];

/** Distinct units [instance][unit] in the numbers of a site, from one list for all instances or a list for each. */
export function unitLists(units: UnitList, instances: number, architecture: Architecture, site: Site): Int32Array[] {
  if (!Array.isArray(units) || units.length === 0)
    throw expected("units", "a non-empty list of units { layer, unit }, or such a list for each instance", units);
  const isPerInstance = Array.isArray(units[0]);
  if (isPerInstance && units.length !== instances)
    throw expected("units", `a list for each of the ${instances} instances`, `${units.length} lists`);
  const numbers = (list: readonly UnitPlace[]): Int32Array => {
    if (!Array.isArray(list)) throw expected("units", "a list for each instance", list);
    return Int32Array.from(new Set(list.map((place: UnitPlace) => unitNumber(place, architecture, site))));
  };
  if (isPerInstance) return (units as readonly (readonly UnitPlace[])[]).map(numbers);
  const shared = numbers(units as readonly UnitPlace[]);
  return Array.from({ length: instances }, () => shared);
}

function unitNumber(place: UnitPlace, architecture: Architecture, site: Site): number {
  const {
    layer,
    unit,
    site: own = site,
  } = (typeof place === "object" && place !== null ? place : {}) as Partial<UnitPlace>;
  oneOf<Site>({ site: own }, "site", "neurons", ["neurons", "heads", "both"]);
  const count = unitsOf(architecture, own);
  if (!Number.isInteger(layer) || layer! < 0 || layer! >= architecture.layers)
    throw expected("units", `{ layer } within 0–${architecture.layers - 1}`, place);
  if (!Number.isInteger(unit) || unit! < 0 || unit! >= count)
    throw expected("units", `{ unit } within 0–${count - 1} of the ${own}`, place);
  const first = site === "both" && own === "heads" ? architecture.intermediate : 0;
  return layer! * unitsOf(architecture, site) + first + unit!;
}

/** The site that holds all units: the option's, widened where units name another. */
export function siteOf(units: UnitList, given: Readonly<Record<string, unknown>>): Site {
  const named = new Set<Site>(
    (Array.isArray(units) ? (units as readonly unknown[]).flat() : [])
      .map((place) => (place as UnitPlace | null)?.site)
      .filter((site) => site !== undefined),
  );
  const asked =
    given["site"] === undefined ? undefined : oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  if (asked !== undefined) named.add(asked);
  return named.size === 0 ? "neurons" : named.size === 1 ? [...named][0] : "both";
}
