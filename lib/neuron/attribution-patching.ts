// Attribution patching: the first-order estimate of replacing each unit by its baseline, by a choice of backward rules.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, Site } from "../../types/results";
import { AttributionError } from "../errors";
import { batchTokensOf } from "../model/batching";
import { checkFit } from "../model/fit";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { memoryOf, oneOf, onlyKnown } from "../options";
import { type Baseline, baselineOf } from "./baseline";
import {
  atSites,
  framed,
  type Method,
  neuronOptionNames,
  type NeuronOptions,
  neuronScores,
  type PositionOptions,
} from "./neuron-scores";
import { targetOf, targetWords } from "./target";

export interface AttributionPatchingOptions extends NeuronOptions, PositionOptions {
  /** w⁰, e.g. `meanActivations(model, train)` or another instance's values from `capture`. @default "zero" */
  readonly baseline?: Baseline;
  /** Other prompts, one for each instance: their values at their own readout are w⁰. Excludes `baseline`. */
  readonly against?: Instances;
  /**
   * What ρ, the slope of F, is. "gradient": ∂F/∂w. "relp": norm scales are constants, an activation's slope is f(x)/x, and each branch
   * of a gated MLP gets half. "gim": norm statistics are constants, a softmax is differentiated at twice its temperature, query and
   * key get ¼, value, gate and up ½. At the readout position only, where it is not "gradient".
   * @default "gradient"
   */
  readonly rule?: "gradient" | "relp" | "gim";
  /** relp: whether gradients flow through the attention patterns. @default "differentiated" */
  readonly attention?: "differentiated" | "detached";
}

const names = [
  ...neuronOptionNames,
  "positions",
  "baseline",
  "against",
  "rule",
  "attention",
] as const satisfies readonly (keyof AttributionPatchingOptions)[];

/**
 * (wᵢ − w⁰ᵢ) ρᵢ at the readout position, ρ = ∂F/∂w by `rule`; of a head the sum over its features. To first order what F loses when
 * the unit takes its baseline value; ReLUs above it that switch on the way are not seen. Positive: the unit raises F. Unit: that of F.
 * Source: Nanda 2023; Syed et al. 2023; RelP: Jafari et al. 2025 (arXiv 2508.21258); GIM: Edin et al. 2025 (arXiv 2505.17630).
 * Cost: one forward, one one-token row per layer forward and backward; with another `rule` or with `against` one forward and backward
 * of all tokens, and one forward of `against`.
 * @returns scores [instance, layer, unit]
 * @example const na = await attributionPatching(model, queries, { rule: "relp", against: others });
 */
export async function attributionPatching(
  model: Model,
  instances: Instances,
  options?: AttributionPatchingOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, names);
  const rule = oneOf(given, "rule", "gradient", ["gradient", "relp", "gim"]);
  const attention = oneOf(given, "attention", "differentiated", ["differentiated", "detached"]);
  checkOptions(given, rule);
  const method: Method = {
    name: "attributionPatching",
    native: "gradientTimesActivation",
    baseline: options?.baseline,
    unit: targetWords(given),
    shown: { rule, attention, against: options?.against?.hash ?? null },
  };
  if (rule === "gradient" && options?.against === undefined)
    return neuronScores(model, instances, given, method, options);
  checkFit(model, instances, "instances");
  if (options?.against !== undefined) checkFit(model, options.against, "against");
  const params = {
    target: targetOf(given, instances),
    rule,
    detachAttention: attention === "detached",
    counterfactual: options?.against,
    batchTokens: batchTokensOf(given),
    memoryBytes: memoryOf(given, "1 GB"),
  };
  const run = (site: "neurons" | "heads") =>
    runNative((control) => {
      const baseline = baselineOf(options?.baseline, model.architecture, site);
      return native().patchingScores(handleOf(model), instances, { ...params, site, baseline }, control);
    }, options);
  const none = { completenessGap: new Float64Array(0), unitErrors: new Float64Array(0) };
  const site = oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  const result = await atSites(site, model.architecture, async (at) => ({ ...(await run(at)), ...none }));
  return framed(model, instances, given, method, result);
}

/** Refuses options that contradict each other. */
function checkOptions(given: Readonly<Record<string, unknown>>, rule: string): void {
  if (given["attention"] !== undefined && rule !== "relp")
    throw new AttributionError("invalid", '"attention" has a meaning with rule: "relp" only; leave it out');
  if (given["against"] !== undefined && given["baseline"] !== undefined)
    throw new AttributionError("invalid", '"against" and "baseline" both say what w⁰ is; leave one out');
  if (rule === "gradient" && given["against"] === undefined) return;
  for (const name of ["positions", "engine"])
    if (given[name] !== undefined && given[name] !== "readout")
      throw new AttributionError(
        "unsupported",
        `Other rules than "gradient", and "against", score the readout position by one full backward; leave out "${name}"`,
      );
}
