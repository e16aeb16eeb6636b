// The causal test of what raises a unit: does it change when the training instances that are said to raise it go, or come twice?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Estimate, InstanceAttribution, Provenance } from "../../types/results";
import { selectInstances } from "../data/instances";
import { AttributionError } from "../errors";
import { nativeQuantity, quantityValues, shownQuantity } from "../instance/quantity";
import { fineTune } from "../model/fine-tune";
import { checkFit, checkLosses } from "../model/fit";
import { libtorchVersion } from "../native";
import { onlyKnown } from "../options";
import { provenance } from "../provenance";
import { bootstrapMean, mean } from "../statistics";
import {
  countOf,
  drawName,
  type Job,
  jobsOf,
  ordersOf,
  type Plan,
  planOf,
  type Ranked,
  rowsOf,
  type UnitRemovalChange,
  type UnitRemovalCurveOptions,
  unitRemovalNames,
  weightsOf,
} from "./unit-removal-jobs";

/** Shifts of the quantity's mean over the queries, against the model tuned on everything with the same seed. Means over seeds. */
export interface UnitRemovalPoint {
  readonly change: UnitRemovalChange;
  readonly fraction: number;
  /** Training instances that were changed. */
  readonly instances: number;
  readonly shift: Estimate;
  /** The shift by as many random instances. */
  readonly randomShift: Estimate;
  /** The shift minus the random one of the same seed. */
  readonly excess: Estimate;
  /** [seed] shifts; [seed] mean random shifts. */
  readonly shifts: Float64Array;
  readonly randomShifts: Float64Array;
}

export interface UnitRemovalCurve {
  readonly test: "unitRemoval";
  /** The quantity before training, and after training on everything (mean over seeds). */
  readonly before: number;
  readonly whole: Estimate;
  /** Of each attribution, in the order in which they were given. */
  readonly methods: readonly { readonly name: string; readonly points: readonly UnitRemovalPoint[] }[];
  /** Models that were tuned. */
  readonly trainings: number;
  readonly provenance: Provenance;
}

/**
 * Retrains the base model without the instances that most raise a quantity, and with a second copy of them, and reads the quantity:
 * f(θ without S) − f(θ on everything), f the mean over the queries, S the first share of the training set by Σ over queries of the
 * attribution's scores. Attributions `of` the same quantity are positive where an instance raises it: right ones fall below the random
 * shares when S is removed, and above them when it is doubled. All attributions share the random shares and the trainings on everything.
 * Intervals are bootstraps over seeds: with one seed there is none. Unit: that of the quantity. Source: Mechanistic Data Attribution
 * (arXiv 2601.21996). Cost: seeds × (1 + changes × fractions × (attributions + controls)) trainings.
 * @example const of = { unit: { layer: 2, unit: 17 } };
 * const ofUnit = await influence(tuned, train, queries, { inverse: "ekfac", of });
 * const { methods } = await unitRemovalCurve(base, train, queries, { "EK-FAC": ofUnit }, { of, fineTune: { epochs: 3 } });
 */
export async function unitRemovalCurve(
  base: Model,
  train: Instances,
  queries: Instances,
  attributions: Readonly<Record<string, InstanceAttribution>>,
  options: UnitRemovalCurveOptions,
): Promise<UnitRemovalCurve> {
  const given = onlyKnown(options, unitRemovalNames);
  if (given["of"] === undefined)
    throw new AttributionError(
      "missing",
      'The curve reads a quantity: name it in "of", e.g. { unit: { layer, unit } }',
    );
  checkLosses(base, train, "train");
  checkFit(base, queries, "queries");
  nativeQuantity(options.of, base, queries);
  const ranked = ordersOf(attributions, train, queries);
  const plan = planOf(given, options, train);
  const jobs = plan.seeds.flatMap((run) => jobsOf(plan, ranked, train.size, run));
  const values: number[] = [];
  for (const [done, job] of jobs.entries()) {
    await options.onProgress?.({ done, total: jobs.length, stage: "unit removal" });
    values.push(await tunedQuantity(base, train, queries, job, options));
  }
  await options.onProgress?.({ done: jobs.length, total: jobs.length, stage: "unit removal" });
  const before = mean(await quantityValues(base, queries, options.of, callOf(options)));
  return Object.freeze({
    test: "unitRemoval",
    before,
    ...summary(plan, ranked, jobs, values, train.size),
    trainings: jobs.length,
    provenance: provenance({
      method: "unitRemovalCurve",
      options: {
        ...plan,
        of: shownQuantity(options.of),
        fineTune: { ...options.fineTune, evaluation: options.fineTune?.evaluation?.hash ?? null },
        attributions: Object.entries(attributions).map(([name, { provenance: own }]) => [name, own.method]),
      },
      model: base,
      data: { train, queries },
      libtorch: libtorchVersion(),
    }),
  });
}

const callOf = ({ signal, batchTokens }: UnitRemovalCurveOptions) => ({ signal, batchTokens });

async function tunedQuantity(
  base: Model,
  train: Instances,
  queries: Instances,
  { run, change, by, chosen }: Job,
  options: UnitRemovalCurveOptions,
): Promise<number> {
  const call = callOf(options);
  const how = { ...options.fineTune, seed: run, ...call };
  const tuned =
    change === "none"
      ? await fineTune(base, train, how)
      : by === "weight"
        ? await fineTune(base, train, { ...how, instanceWeights: weightsOf(train.size, chosen, change) })
        : await fineTune(base, selectInstances(train, rowsOf(train.size, chosen, change)), how);
  try {
    return mean(await quantityValues(tuned, queries, options.of, call));
  } finally {
    tuned.close();
  }
}

function summary(
  { seeds, fractions, changes, controls, seed }: Plan,
  ranked: readonly Ranked[],
  jobs: readonly Job[],
  values: readonly number[],
  size: number,
): Pick<UnitRemovalCurve, "whole" | "methods"> {
  const valueOf = (run: number, change: Job["change"], fraction: number, name: string): number =>
    values[jobs.findIndex((j) => j.run === run && j.change === change && j.fraction === fraction && j.name === name)];
  const wholes = seeds.map((run) => valueOf(run, "none", 0, ""));
  const shiftsOf = (change: UnitRemovalChange, fraction: number, name: string): Float64Array =>
    Float64Array.from(seeds, (run, at) => valueOf(run, change, fraction, name) - wholes[at]);
  const pointOf = (name: string, change: UnitRemovalChange, fraction: number): UnitRemovalPoint => {
    const shifts = shiftsOf(change, fraction, name);
    const draws = Array.from({ length: controls }, (_, draw) => shiftsOf(change, fraction, drawName(draw)));
    const randomShifts = shifts.map((_, at) => mean(draws.map((draw) => draw[at])));
    return Object.freeze({
      change,
      fraction,
      instances: countOf(fraction, size),
      shift: bootstrapMean(shifts, { seed }),
      randomShift: bootstrapMean(randomShifts, { seed }),
      excess: bootstrapMean(
        shifts.map((shift, at) => shift - randomShifts[at]),
        { seed },
      ),
      shifts,
      randomShifts,
    });
  };
  return {
    whole: bootstrapMean(wholes, { seed }),
    methods: Object.freeze(
      ranked.map(({ name }) => {
        const points = changes.flatMap((change) => fractions.map((fraction) => pointOf(name, change, fraction)));
        return Object.freeze({ name, points: Object.freeze(points) });
      }),
    ),
  };
}
