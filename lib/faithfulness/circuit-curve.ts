// MIB's curve: how much of a behaviour circuits of growing size carry, its area, and its distance from the whole model.
import type { CircuitCurve, CircuitPoint } from "../../types/circuits";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { targetWords } from "../neuron/target";
import { oneOf, onlyKnown } from "../options";
import { pacedBy } from "../pacing";
import { pacedBootstrapOf } from "../statistics";
import { fractionsOf } from "./fraction-curve";
import { endsOf, faithfulnessOf, type KeptOptions, keptOptionNames, keptUnits, provenanceOf } from "./kept-units";

export interface CircuitCurveOptions extends KeptOptions {
  /** Shares k of the site's units, within 0–1. @default [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] */
  readonly fractions?: readonly number[];
  /**
   * "task": one order of the units for all instances, by the mean over the attribution's rows, which may be of other instances.
   * "instance": each instance has its own order.
   * @default "task"
   */
  readonly per?: "task" | "instance";
}

const defaultFractions = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

/**
 * f of the first k of the units by score (see `circuit`), over k, and its two areas by trapezoids over k: CPR = ∫ f dk, the circuit
 * performance ratio, is higher where few units carry much; CMD = ∫ |1 − f| dk, the circuit-model distance, is 0 where every size does
 * what the model does. Beside them the means over random orders, with bootstrap intervals over instances. A group of k units has
 * round(k × units) of them, at least one where k > 0. Unit: f is a share; the areas are in it, over the span of k (0.999 by default).
 * Source: Mueller et al. 2025 (MIB, arXiv 2504.13151). Cost: two forwards per instance, and fractions × (1 + controls) one-token rows.
 * @example const { cpr, randomCpr, cmd } = await circuitCurve(model, queries, na, { target: "logit" });
 */
export async function circuitCurve(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: CircuitCurveOptions,
): Promise<CircuitCurve> {
  const given = onlyKnown(options, [...keptOptionNames, "fractions", "per"]);
  const per = oneOf(given, "per", "task", ["task", "instance"]);
  const fractions = fractionsOf(given["fractions"] ?? defaultFractions);
  const kept = keptUnits(model, instances, attribution, per, given, options);
  const sizes = fractions.map((k) => (k > 0 ? Math.max(1, Math.round(k * kept.all)) : 0));
  const draws = Array.from({ length: 1 + kept.controls }, (_, draw) => draw);
  const none = (await kept.measure([0], [0], { signal: options?.signal })).values;
  const measured = await kept.measure(sizes, draws, options);
  const ends = endsOf(measured.all, none);
  const estimates = await pacedBootstrapOf(
    instances.size,
    (picks) => statisticsOf(faithfulnessOf(measured, none, picks, draws.length * sizes.length), fractions),
    pacedBy(options?.signal),
    { seed: kept.seed },
  );
  const points = fractions.map((fraction, at): CircuitPoint => {
    const [faithfulness, randomFaithfulness] = [estimates[at], estimates[fractions.length + at]];
    return Object.freeze({ fraction, units: sizes[at], faithfulness, randomFaithfulness });
  });
  const [cpr, cmd, randomCpr, randomCmd] = estimates.slice(2 * fractions.length);
  return Object.freeze({
    test: "circuit",
    site: attribution.site,
    points: Object.freeze(points),
    cpr,
    randomCpr,
    cmd,
    randomCmd,
    ...ends,
    unit: targetWords(given),
    provenance: provenanceOf(
      "circuitCurve",
      { fractions, per },
      { model, instances, attribution, kept, given, options },
    ),
  });
}

/** f of the order at each size, the draws' mean f at each size, then CPR and CMD of the order, and the draws' means. */
function statisticsOf(f: Float64Array, fractions: readonly number[]): number[] {
  const sizes = fractions.length;
  const curves = Array.from({ length: f.length / sizes }, (_, draw) => f.subarray(draw * sizes, (draw + 1) * sizes));
  const [own, ...random] = curves;
  const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
  const [cpr, cmd] = [
    (curve: Float64Array) => area(curve, fractions),
    (curve: Float64Array) =>
      area(
        curve.map((value) => Math.abs(1 - value)),
        fractions,
      ),
  ];
  return [
    ...own,
    ...fractions.map((_, at) => mean(random.map((curve) => curve[at]))),
    cpr(own),
    cmd(own),
    mean(random.map(cpr)),
    mean(random.map(cmd)),
  ];
}

/** The integral over the fractions by trapezoids. */
function area(values: Float64Array, fractions: readonly number[]): number {
  let sum = 0;
  for (let at = 1; at < fractions.length; at++)
    sum += ((fractions[at] - fractions[at - 1]) * (values[at] + values[at - 1])) / 2;
  return sum;
}
