// Neurons of experts: one that the router does not choose scores exactly 0, whatever the method, and the prefix cache agrees with full
// forwards where a baseline or a change meets the router.
import { createInstances } from "../../lib/data/instances";
import { capture } from "../../lib/model/capture";
import { ablation } from "../../lib/neuron/ablation";
import { activation } from "../../lib/neuron/activation";
import { attributionPatching } from "../../lib/neuron/attribution-patching";
import { meanActivations } from "../../lib/neuron/baseline";
import { conductance } from "../../lib/neuron/conductance";
import { gradient } from "../../lib/neuron/gradient";
import { gradientTimesActivation } from "../../lib/neuron/gradient-times-activation";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { logProbabilityIncrease } from "../../lib/neuron/log-probability-increase";
import { valueNorm } from "../../lib/neuron/value-norm";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** Two orders of float64 sums, given back as float32. */
const rounding = 1e-6;

const methods = {
  ablation,
  activation,
  attributionPatching,
  conductance,
  gradient,
  gradientTimesActivation,
  integratedGradients,
  logProbabilityIncrease,
  valueNorm,
};

/** Which neurons of each instance and layer the model computes at the readout position, by what is captured there. */
async function computed(model: Model, instances: Instances): Promise<boolean[]> {
  const { values } = await capture(model, instances, { site: "neurons" });
  return Array.from(values, (value) => value !== 0);
}

describe.each(["mixtral", "qwen2-moe", "qwen3-moe", "olmoe"])("of %s", (name) => {
  let model: Model;
  const instances = raggedInstances("causalLM", 4);
  beforeAll(async () => {
    model = await open(name, { dtype: "float64" });
  });
  afterAll(() => model.close());

  test("as many have values as the router chooses", async () => {
    const { mixture, intermediate, layers } = model.architecture;
    const seen = await computed(model, instances);
    const { chosen, width, shared, dense } = mixture!;
    for (let row = 0; row < 4 * layers; row++) {
      const count = seen.slice(row * intermediate, (row + 1) * intermediate).filter(Boolean).length;
      expect(count).toBe(mixture!.layers[row % layers] ? chosen * width + shared : dense);
    }
  });

  test.each(Object.entries(methods))(
    "the others score exactly 0 by %s, from zero and from a mean",
    async (_, method) => {
      const seen = await computed(model, instances);
      const baselines = ["zero", await meanActivations(model, instances)] as const;
      for (const baseline of method === ablation || method === integratedGradients ? baselines : [undefined]) {
        const { scores } = await method(model, instances, baseline && { baseline });
        expect(scores.filter((score, i) => !seen[i] && score !== 0)).toHaveLength(0);
        expect(scores.filter((score, i) => seen[i] && score === 0)).toHaveLength(0);
      }
    },
  );

  test("integrated gradients from a mean are the same by the cache and by full forwards", async () => {
    const baseline = await meanActivations(model, instances);
    const [cache, full] = [
      await integratedGradients(model, instances, { baseline, nodes: 6, engine: "cache" }),
      await integratedGradients(model, instances, { baseline, nodes: 6, engine: "full" }),
    ];
    expect(relativeDifference(cache.scores, full.scores)).toBeLessThan(rounding);
    cache.completenessGap.forEach((gap, i) => expect(Math.abs(gap - full.completenessGap[i])).toBeLessThan(rounding));
  });

  test("bisected paths are close to paths of many nodes", async () => {
    const one = createInstances({ kind: "causalLM", rows: [[5, 40, 9, 22]] });
    const bisected = await integratedGradients(model, one);
    const many = await integratedGradients(model, one, { nodes: 400 });
    const { layers, units } = many;
    for (let layer = 0; layer < layers; layer++) {
      const [from, to] = [layer * units, (layer + 1) * units];
      expect(relativeDifference(bisected.scores.slice(from, to), many.scores.slice(from, to))).toBeLessThan(0.02);
    }
  });

  test("rules that say nothing of a router are refused", async () => {
    for (const rule of ["relp", "gim"] as const)
      await expect(attributionPatching(model, instances, { rule })).rejects.toMatchObject(
        refusal("unsupported", /nothing of a router/),
      );
  });
});
