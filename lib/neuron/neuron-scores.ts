// What all neuron attributions share: options, the native call per site, and the result's frame.
import type { Architecture } from "../../types/architecture";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeNeuronParams, NativeNeuronResult, NativeSite } from "../../types/native";
import type { NeuronAttribution, Site } from "../../types/results";
import { AttributionError } from "../errors";
import { libtorchVersion, native, runNative } from "../native";
import { memoryOf, oneOf } from "../options";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "../model/batching";
import { checkFit } from "../model/fit";
import { layersOf } from "../model/config/layers";
import { handleOf } from "../model/model";
import { provenance } from "../provenance";
import { type Baseline, baselineOf, shownBaseline } from "./baseline";
import { positionsOf, type Positions, shownPositions } from "./positions";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions } from "./target";

export interface NeuronOptions extends BatchOptions, TargetOptions {
  /** MLP neurons, attention heads, or both in one ranking. @default "neurons" */
  readonly site?: Site;
  /**
   * What a batch's prefix cache, its forward and its changed rows may take together, beside the model and the result: bytes, or text
   * such as "2 GB"; see `estimateNeuronMemory`. Less is refused (code "memory"). @default "1 GB"
   */
  readonly memory?: number | string;
  /**
   * "cache": one-token rows over the prefix's keys and values, in encoders copies of the row that enter at their layer; "full": full
   * forwards, the slow reference. @default "cache"
   */
  readonly engine?: "cache" | "full";
}

/** For methods that can score other positions than the readout. */
export interface PositionOptions {
  /**
   * Positions whose units are scored: the readout position; all positions of the row, changed together and summed; or for each
   * instance a list of token positions within its (target's) row. Others than the readout take full forwards.
   * @default "readout"
   */
  readonly positions?: Positions;
}

export const neuronOptionNames = [
  ...batchOptionNames,
  ...targetOptionNames,
  "site",
  "memory",
  "engine",
] as const satisfies readonly (keyof NeuronOptions)[];

export interface Method {
  readonly name: string;
  readonly native: NativeNeuronParams["method"];
  readonly nodes?: Float64Array;
  readonly weights?: Float64Array;
  /** Gap as a share of F, and error of a unit as a share of its layer's largest score, above which a path is bisected. @default 0, never */
  readonly completeness?: number;
  readonly baseline?: Baseline;
  /** The paper scores pre-activations. */
  readonly preActivation?: boolean;
  readonly unit: string;
  /** The method's own options, for the provenance. */
  readonly shown?: Readonly<Record<string, unknown>>;
}

/** Scores the units of one or both sites in all layers and frames the result. */
export async function neuronScores(
  model: Model,
  instances: Instances,
  given: Readonly<Record<string, unknown>>,
  method: Method,
  call: BatchOptions | undefined,
): Promise<NeuronAttribution> {
  checkFit(model, instances, "instances");
  const { architecture } = model;
  const site = oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  const target = targetOf(given, instances);
  const engine = oneOf(given, "engine", "cache", ["cache", "full"]);
  const one = Float64Array.of(1);
  const common = {
    method: method.native,
    layers: layersOf({}, architecture.layers),
    target,
    nodes: method.nodes ?? one,
    weights: method.weights ?? one,
    completeness: method.completeness ?? 0,
    ...positionsOf(given, instances),
    fullPath: engine === "full",
    batchTokens: batchTokensOf(given),
    memoryBytes: memoryOf(given, "1 GB"),
  };
  const run = (at: NativeSite): Promise<NativeNeuronResult> =>
    runNative((control) => {
      const baseline = baselineOf(method.baseline, architecture, at);
      return native().neuronScores(handleOf(model), instances, { ...common, site: at, baseline }, control);
    }, call);
  const result = await atSites(site, architecture, (at) => run(method.preActivation ? "preActivation" : at));
  return framed(model, instances, given, method, result);
}

/** A method's numbers as a result. */
export function framed(
  model: Model,
  instances: Instances,
  given: Readonly<Record<string, unknown>>,
  method: Method,
  result: NativeNeuronResult,
): NeuronAttribution {
  const { architecture } = model;
  const site = oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  const { unitErrors, ...scored } = result;
  return Object.freeze({
    kind: "neurons",
    ...scored,
    ...(unitErrors.length > 0 && { unitErrors }),
    instances: instances.size,
    layers: architecture.layers,
    units: unitsOf(architecture, site),
    site,
    instanceIds: instances.ids,
    unit: method.unit,
    provenance: provenance({
      method: method.name,
      options: shownOptions(given, method, instances),
      model,
      data: { instances },
      libtorch: libtorchVersion(),
    }),
  });
}

/** Options as the provenance states them. */
export function shownOptions(
  given: Readonly<Record<string, unknown>>,
  method: Method,
  instances: Instances,
): Record<string, unknown> {
  const site = given["site"] ?? "neurons";
  return {
    site,
    ...shownPositions(given),
    ...shownTarget(targetOf(given, instances)),
    baseline: shownBaseline(method.baseline),
    ...method.shown,
  };
}

/** Units of a layer at a site. */
export function unitsOf({ intermediate, heads }: Architecture, site: Site): number {
  return site === "neurons" ? intermediate : site === "heads" ? heads : intermediate + heads;
}

/** A run at a site, or at both in one ranking. */
export async function atSites(
  site: Site,
  architecture: Architecture,
  run: (at: "neurons" | "heads") => Promise<NativeNeuronResult>,
): Promise<NativeNeuronResult> {
  return site === "both" ? merged(await run("neurons"), await run("heads"), architecture) : run(site);
}

/** A layer's neurons, then its heads. The completeness gap and the units' errors are of neither alone; they are left out. */
function merged(
  neurons: NativeNeuronResult,
  heads: NativeNeuronResult,
  architecture: Architecture,
): NativeNeuronResult {
  const [n, h] = [architecture.intermediate, architecture.heads];
  const rows = neurons.scores.length / n;
  const scores = new Float32Array(rows * (n + h)); // [instance, layer, unit]
  for (let row = 0; row < rows; row++) {
    scores.set(neurons.scores.subarray(row * n, (row + 1) * n), row * (n + h));
    scores.set(heads.scores.subarray(row * h, (row + 1) * h), row * (n + h) + n);
  }
  if (neurons.targetLabels.some((label, i) => label !== heads.targetLabels[i]))
    throw new AttributionError("native", "The two sites were scored for different targets");
  return { ...neurons, scores, completenessGap: new Float64Array(0), unitErrors: new Float64Array(0) };
}
