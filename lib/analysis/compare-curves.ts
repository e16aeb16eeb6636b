// A mean over r compares methods over the same r only: IA-Neurons, say, has fewer units than integrated gradients. Pure.
import { AttributionError, expected } from "../errors";
import { mean } from "../statistics";
import type { CurveComparison } from "../../types/analysis";
import type { NeuronFaithfulness } from "../../types/results";

/**
 * Averages curves of sufficiency, or of comprehensiveness, over the sizes r that all of them have; the sizes left out are named.
 * "mismatch" for curves of different tests or sites, or without a common size.
 * @example compareCurves({ "Integrated gradients": curve, "IA-Neurons": shorter }).methods[0].mean
 */
export function compareCurves(curves: Readonly<Record<string, NeuronFaithfulness>>): CurveComparison {
  const named = Object.entries(curves ?? {});
  const isCurve = ({ test, points }: NeuronFaithfulness) =>
    (test === "sufficiency" || test === "comprehensiveness") && Array.isArray(points) && points.length > 0;
  if (named.length === 0 || !named.every(([, curve]) => typeof curve === "object" && curve !== null && isCurve(curve)))
    throw expected("curves", "results of sufficiency or comprehensiveness by name", curves);
  const [[first, { test, site }]] = named;
  const other = named.find(([, curve]) => curve.test !== test || curve.site !== site);
  if (other !== undefined)
    throw new AttributionError(
      "mismatch",
      `Expected curves of one test and site but "${first}" is ${test} of ${site} and "${other[0]}" ${other[1].test} of ${other[1].site}`,
    );
  const sizesOf = ({ points }: NeuronFaithfulness) => points.map((point) => point.r);
  const r = named.map(([, curve]) => sizesOf(curve)).reduce((a, b) => a.filter((size) => b.includes(size)));
  if (r.length === 0)
    throw new AttributionError("mismatch", "The curves have no size r in common: run the tests with the same r");
  const methods = named.map(([name, curve]) => {
    const common = curve.points.filter((point) => r.includes(point.r));
    return Object.freeze({
      name,
      mean: mean(common.map(({ probabilityChange }) => probabilityChange.mean)),
      randomMean: mean(common.map(({ randomProbabilityChange }) => randomProbabilityChange.mean)),
      leftOut: Object.freeze(sizesOf(curve).filter((size) => !r.includes(size))),
    });
  });
  return Object.freeze({ test, r: Object.freeze(r), methods: Object.freeze(methods) });
}
