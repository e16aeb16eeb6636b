// Deletion and insertion: F along the attribution's order at fractions of the site, beside random orders, and the area under it.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, NeuronAttribution, NeuronCurve, NeuronCurvePoint } from "../../types/results";
import { pacedBy } from "../pacing";
import { expected } from "../errors";
import { libtorchVersion } from "../native";
import { checkFit } from "../model/fit";
import { shownBaseline } from "../neuron/baseline";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions, targetWords } from "../neuron/target";
import { integer, onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { requireNeuronAttribution } from "../results/require";
import { pacedBootstrapMean } from "../statistics";
import { type Curve, curveOf, type SetOptions, setOptionNames } from "./curve";
import type { SetPlan } from "./unit-sets";

export interface NeuronCurveOptions extends SetOptions, TargetOptions {
  /** Shares of the site's units, within 0–1. @default [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] */
  readonly fractions?: readonly number[];
}

const defaultFractions = [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

export async function fractionCurve(
  test: NeuronCurve["test"],
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: NeuronCurveOptions,
): Promise<NeuronCurve> {
  const given = onlyKnown(options, [...setOptionNames, ...targetOptionNames, "fractions"]);
  checkFit(model, instances, "instances");
  requireNeuronAttribution(attribution, "attribution");
  const fractions = fractionsOf(given["fractions"] ?? defaultFractions);
  const all = attribution.layers * attribution.units;
  const plan: SetPlan = {
    sizes: fractions.map((fraction) => Math.round(fraction * all)),
    controls: integer(given, "controls", 10, 1, 1000),
    controlFrom: "order",
    seed: seedOf(given),
  };
  const target = targetOf(given, instances);
  const change = {
    site: attribution.site,
    change: test === "insertion" ? ("keepOnly" as const) : ("suppress" as const),
    baseline: options?.baseline,
    target,
  };
  const curve = await curveOf(model, instances, attribution, plan, change, given, options);
  const pace = pacedBy(options?.signal);
  const points: NeuronCurvePoint[] = [];
  const estimate = (list: Float64Array): Promise<Estimate> => pacedBootstrapMean(list, pace, { seed: plan.seed });
  for (const [at, { value, flip, randomValue, randomFlip }] of curve.columns.entries()) {
    points.push(
      Object.freeze({
        fraction: fractions[at],
        units: plan.sizes[at],
        value: await estimate(value),
        randomValue: await estimate(randomValue),
        changedPredictions: await estimate(flip),
        randomChangedPredictions: await estimate(randomFlip),
      }),
    );
  }
  const [area, randomArea] = [areas(curve, fractions, "value"), areas(curve, fractions, "randomValue")];
  const shown = {
    fractions,
    controls: plan.controls,
    seed: plan.seed,
    baseline: shownBaseline(options?.baseline),
    ...shownTarget(target),
    attribution: attribution.provenance.method,
  };
  return Object.freeze({
    test,
    site: attribution.site,
    points: Object.freeze(points),
    area: await estimate(area),
    randomArea: await estimate(randomArea),
    difference: await estimate(area.map((value, i) => value - randomArea[i])),
    unit: targetWords(given),
    provenance: provenance({ method: test, options: shown, model, data: { instances }, libtorch: libtorchVersion() }),
  });
}

/** Per instance the area under the curve by trapezoids, as the mean height over the curve's span. */
function areas({ values, columns }: Curve, fractions: readonly number[], field: "value" | "randomValue"): Float64Array {
  const span = fractions.at(-1)! - fractions[0];
  return Float64Array.from(values, (_, i) => {
    let area = 0;
    for (let at = 1; at < fractions.length; at++)
      area += ((fractions[at] - fractions[at - 1]) * (columns[at][field][i] + columns[at - 1][field][i])) / 2;
    return area / span;
  });
}

/** Sorted different shares within 0–1, at least two. */
export function fractionsOf(value: unknown): number[] {
  const words = "a list of at least two different shares within 0–1";
  if (!Array.isArray(value)) throw expected("fractions", words, value);
  for (const fraction of value as unknown[])
    if (!(typeof fraction === "number" && fraction >= 0 && fraction <= 1)) throw expected("fractions", words, fraction);
  const sorted = [...new Set(value as number[])].sort((a, b) => a - b);
  if (sorted.length < 2) throw expected("fractions", words, value);
  return sorted;
}
