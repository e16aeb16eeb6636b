// Sufficiency and comprehensiveness: the change of the predicted class's probability at sizes r, and its area.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, FaithfulnessPoint, NeuronAttribution, NeuronFaithfulness } from "../../types/results";
import { pacedBy } from "../pacing";
import { expected } from "../errors";
import { checkFit } from "../model/fit";
import { shownBaseline } from "../neuron/baseline";
import { libtorchVersion } from "../native";
import { integer, oneOf, onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { requireNeuronAttribution } from "../results/require";
import { pacedBootstrapMean } from "../statistics";
import { type Curve, curveOf, type SetOptions, setOptionNames } from "./curve";
import type { SetPlan } from "./unit-sets";

export interface NeuronTestOptions extends SetOptions {
  /** Sizes of the unit sets. @default [1, 2, 5, 10, 20, 50, 100] (paper: [1, 2, 5, 10, 50, 100]) */
  readonly r?: readonly number[];
  /** Draw controls from the whole site, or from the same layers in the same numbers. @default "site" */
  readonly controlFrom?: "site" | "sameLayers";
  readonly preset?: "paper";
}

type Test = NeuronFaithfulness["test"];

export async function neuronTest(
  test: Test,
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: NeuronTestOptions,
): Promise<NeuronFaithfulness> {
  const given = onlyKnown(options, [...setOptionNames, "r", "controlFrom", "preset"]);
  checkFit(model, instances, "instances");
  requireNeuronAttribution(attribution, "attribution");
  const paper = given["preset"] !== undefined && oneOf(given, "preset", "paper", ["paper"]) === "paper";
  const plan: SetPlan = {
    sizes: sizesOf(given["r"] ?? (paper ? [1, 2, 5, 10, 50, 100] : [1, 2, 5, 10, 20, 50, 100])),
    controls: integer(given, "controls", 10, 1, 1000),
    controlFrom: oneOf(given, "controlFrom", "site", ["site", "sameLayers"]),
    seed: seedOf(given),
  };
  const change = {
    site: attribution.site,
    change: test === "sufficiency" ? ("keepOnly" as const) : ("suppress" as const),
    baseline: options?.baseline,
    target: { of: "probability" as const, labels: "predicted" as const },
  };
  const curve = await curveOf(model, instances, attribution, plan, change, given, options);
  const pace = pacedBy(options?.signal);
  const points: FaithfulnessPoint[] = [];
  for (let at = 0; at < plan.sizes.length; at++) points.push(await pointOf(curve, plan, at, pace));
  const area = (field: "probabilityChange" | "randomProbabilityChange"): number =>
    points.reduce((sum, point) => sum + point[field].mean, 0) / points.length;
  const shown = {
    ...plan,
    baseline: shownBaseline(options?.baseline),
    attribution: attribution.provenance.method,
    preset: paper ? "paper" : null,
  };
  return Object.freeze({
    test,
    site: attribution.site,
    points: Object.freeze(points),
    aopc: area("probabilityChange"),
    randomAopc: area("randomProbabilityChange"),
    provenance: provenance({ method: test, options: shown, model, data: { instances }, libtorch: libtorchVersion() }),
  });
}

function sizesOf(value: unknown): number[] {
  const words = "a non-empty list of whole numbers of at least 1";
  if (!Array.isArray(value) || value.length === 0) throw expected("r", words, value);
  for (const size of value as unknown[])
    if (typeof size !== "number" || !Number.isInteger(size) || size < 1) throw expected("r", words, size);
  return [...new Set(value as number[])].sort((a, b) => a - b);
}

/** The curve's point: the change by the top sets, and the mean change over the random draws. */
async function pointOf(
  { values, columns }: Curve,
  { sizes, seed }: SetPlan,
  at: number,
  pace: () => Promise<void>,
): Promise<FaithfulnessPoint> {
  const { value, flip, randomValue, randomFlip } = columns[at];
  const estimate = (list: Float64Array): Promise<Estimate> => pacedBootstrapMean(list, pace, { seed });
  const change = (list: Float64Array): Float64Array => list.map((changed, i) => changed - values[i]);
  return Object.freeze({
    r: sizes[at],
    probabilityChange: await estimate(change(value)),
    changedPredictions: await estimate(flip),
    randomProbabilityChange: await estimate(change(randomValue)),
    randomChangedPredictions: await estimate(randomFlip),
  });
}
