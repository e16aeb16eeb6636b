// Every neuron score of every family equals the slow and obvious one of test/golden/neuron.py, by the prefix cache and by full forwards.
import { ablation } from "../../lib/neuron/ablation";
import { activation } from "../../lib/neuron/activation";
import { attributionPatching } from "../../lib/neuron/attribution-patching";
import { conductance } from "../../lib/neuron/conductance";
import { gradient } from "../../lib/neuron/gradient";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { logProbabilityIncrease } from "../../lib/neuron/log-probability-increase";
import { valueNorm } from "../../lib/neuron/value-norm";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { refusal } from "../storage/refusal";
import { relativeDifference } from "../model/golden-cases";
import { familyCases, open, type Tensors } from "../model/golden-tensors";
import { neuronGolden } from "./golden-instances";

/** In float64 the golden values hold to 1e-7 (transformers' own float32 steps), and scores come back as float32. */
const doubleTolerance = 2e-6;
/** float32: 1e-7 a step, and differences of nearly equal numbers. */
const singleTolerance = 2e-4;
/** The full engine in float64 alone: in float32 it is compared with the cache in integrated-gradients.test.ts. */
const types = [
  ["float64", doubleTolerance, ["cache", "full"]],
  ["float32", singleTolerance, ["cache"]],
] as const;

interface Case {
  readonly model: Model;
  readonly instances: Instances;
  readonly wanted: Tensors;
}

async function caseOf(name: string, dtype: "float32" | "float64"): Promise<Case> {
  const model = await open(name, { dtype });
  return { model, ...(await neuronGolden(name, model.architecture.head.kind)) };
}

/** The script's ablation is F itself; from zero, attribution patching is gradient times activation. */
function goldenScores(wanted: Tensors, site: string, method: string): ArrayLike<number> {
  const { data } = wanted[`${site}.${method === "attributionPatching" ? "gradientTimesActivation" : method}`];
  if (method !== "ablation") return data;
  const each = data.length / wanted["targetValues"].data.length;
  return Float64Array.from(data, (value, i) => wanted["targetValues"].data[Math.floor(i / each)] - value);
}

/** Features [.., head · feature] as one number per head: their Euclidean norm. */
function headNorms(features: ArrayLike<number>, size: number): Float64Array {
  return Float64Array.from({ length: features.length / size }, (_, unit) => {
    let square = 0;
    for (let f = 0; f < size; f++) square += features[unit * size + f] ** 2;
    return Math.sqrt(square);
  });
}

describe.each(familyCases)("%s", (name) => {
  describe.each(types)("in %s", (dtype, tolerance, engines) => {
    let golden: Case;
    beforeAll(async () => {
      golden = await caseOf(name, dtype);
    });
    afterAll(() => golden.model.close());

    test.each(engines)("integrated gradients of neurons and heads, and their targets, by engine %s", async (engine) => {
      const { model, instances, wanted } = golden;
      for (const site of ["neurons", "heads"] as const) {
        const result = await integratedGradients(model, instances, { site, engine, nodes: 20 });
        expect(Array.from(result.targetLabels)).toEqual(Array.from(wanted["targetLabels"].data));
        expect(relativeDifference(result.targetValues, wanted["targetValues"].data)).toBeLessThan(tolerance);
        expect(relativeDifference(result.scores, wanted[`${site}.integratedGradients`].data)).toBeLessThan(tolerance);
        const gaps = Float64Array.from(result.completenessGap, (_, i) => {
          const layer = result.scores.subarray(i * result.units, (i + 1) * result.units);
          const row = Math.floor(i / result.layers);
          return (
            layer.reduce((a, b) => a + b, 0) -
            (wanted["targetValues"].data[row] - wanted[`${site}.baselineTarget`].data[i])
          );
        });
        gaps.forEach((gap, i) => expect(Math.abs(gap - result.completenessGap[i])).toBeLessThan(tolerance));
      }
    });

    test.each(engines)("gradient and gradient times activation by engine %s", async (engine) => {
      const { model, instances, wanted } = golden;
      for (const site of ["neurons", "heads"] as const) {
        const product = await gradientTimesActivation(model, instances, { site, engine });
        expect(relativeDifference(product.scores, wanted[`${site}.gradientTimesActivation`].data)).toBeLessThan(
          tolerance,
        );
        const slope = await gradient(model, instances, { site, engine });
        const slopes = wanted[`${site}.gradient`].data;
        expect(
          relativeDifference(slope.scores, site === "heads" ? headNorms(slopes, model.architecture.headSize) : slopes),
        ).toBeLessThan(tolerance);
        expect(slope.completenessGap).toHaveLength(0);
      }
    });

    test("ablation, attribution patching, conductance, log-probability increase and value norm", async () => {
      const { model, instances, wanted } = golden;
      const methods = { ablation, attributionPatching, conductance, logProbabilityIncrease, valueNorm };
      for (const site of ["neurons", "heads"] as const) {
        for (const [name, method] of Object.entries(methods)) {
          if (name === "logProbabilityIncrease" && model.architecture.normOrder !== "pre") {
            await expect(method(model, instances, { site })).rejects.toMatchObject(refusal("unsupported", /pre-norm/));
            continue;
          }
          const result = await method(model, instances, { site });
          expect([name, relativeDifference(result.scores, goldenScores(wanted, site, name)) < tolerance]).toEqual([
            name,
            true,
          ]);
        }
      }
    });

    test("activation of neurons and heads", async () => {
      const { model, instances, wanted } = golden;
      const neurons = await activation(model, instances);
      expect(relativeDifference(neurons.scores, wanted["neurons.values"].data)).toBeLessThan(tolerance);
      const heads = await activation(model, instances, { site: "heads" });
      expect(
        relativeDifference(heads.scores, headNorms(wanted["heads.values"].data, model.architecture.headSize)),
      ).toBeLessThan(tolerance);
    });

    test.each(engines)("the paper's scores of pre-activations by engine %s", async (engine) => {
      const { model, instances, wanted } = golden;
      const scores = integratedGradients(model, instances, { preset: "paper", engine });
      if (model.architecture.gated)
        return void (await expect(scores).rejects.toMatchObject(refusal("unsupported", /gated/)));
      expect(relativeDifference((await scores).scores, wanted["preActivation.paper"].data)).toBeLessThan(tolerance);
    });
  });
});
