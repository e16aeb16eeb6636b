// Attribution patching: the first-order estimate of replacing each unit by its baseline, by a choice of backward rules.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, Site } from "../../types/results";
import { AttributionError } from "../errors";
import { batchTokensOf } from "../model/batching";
import { checkFit } from "../model/fit";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { boolean, memoryOf, oneOf, onlyKnown } from "../options";
import { type Baseline, baselineOf } from "./baseline";
import {
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
   * key get ¼, value, gate and up ½. At the readout position only, where it is not "gradient". Mixtures take "gradient" only.
   * @default "gradient"
   */
  readonly rule?: "gradient" | "relp" | "gim";
  /**
   * What of each head takes the value of `against`: its output, or its query, key or value at the readout position. The softmax is
   * computed again with it (AtP*'s query-key correction), so that a saturated one is seen: Σ (A − A⁰) ∂F/∂A over the attention weights.
   * A key or value that heads share counts for each of them. Needs site: "heads" and prompts of the same lengths.
   * @default "output"
   */
  readonly part?: "output" | "query" | "key" | "value";
  /**
   * AtP*'s GradDrop: the mean, over all layers but the unit's own, of the absolute score by the gradient that does not flow through what
   * that layer writes. Effects that cancel over two ways are seen then; the sign is lost. One backward per layer.
   * @default false
   */
  readonly gradDrop?: boolean;
  /** relp: whether gradients flow through the attention patterns. @default "differentiated" */
  readonly attention?: "differentiated" | "detached";
}

const names = [
  ...neuronOptionNames,
  "positions",
  "baseline",
  "against",
  "rule",
  "part",
  "gradDrop",
  "attention",
] as const satisfies readonly (keyof AttributionPatchingOptions)[];

/**
 * (wᵢ − w⁰ᵢ) ρᵢ at the readout position, ρ = ∂F/∂w by `rule`; of a head the sum over its features. To first order what F loses when
 * the unit takes its baseline value; ReLUs above it that switch on the way are not seen. Positive: the unit raises F. Unit: that of F.
 * With `gradDrop` the scores are mean magnitudes. Source: Nanda 2023; Syed et al. 2023; RelP: Jafari et al. 2025 (arXiv 2508.21258);
 * GIM: Edin et al. 2025 (arXiv 2505.17630); `part`, `gradDrop`: AtP*, Kramár et al. 2024 (arXiv 2403.00745).
 * Cost: one forward, one one-token row per layer forward and backward; with any of `rule`, `against` and `gradDrop` one forward and
 * backward of all tokens for all units of both sites, and one forward of `against`; with `part` the attention once more; with `gradDrop`
 * a backward per layer.
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
  const part = oneOf(given, "part", "output", ["output", "query", "key", "value"]);
  const dropLayers = boolean(given, "gradDrop", false);
  const site = oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  const isWhole = rule !== "gradient" || options?.against !== undefined || dropLayers;
  checkOptions(given, rule, isWhole);
  checkPart(given, part, site);
  const method: Method = {
    name: "attributionPatching",
    native: "gradientTimesActivation",
    baseline: options?.baseline,
    unit: dropLayers ? `magnitude in the ${targetWords(given)}` : targetWords(given),
    shown: { rule, attention, part, gradDrop: dropLayers, against: options?.against?.hash ?? null },
  };
  if (!isWhole) return neuronScores(model, instances, given, method, options);
  checkFit(model, instances, "instances");
  if (options?.against !== undefined) checkFit(model, options.against, "against");
  const none = new Float32Array(0);
  const params = {
    site,
    part,
    dropLayers,
    target: targetOf(given, instances),
    rule,
    detachAttention: attention === "detached",
    neuronBaseline: site === "heads" ? none : baselineOf(options?.baseline, model.architecture, "neurons"),
    headBaseline: site === "neurons" ? none : baselineOf(options?.baseline, model.architecture, "heads"),
    counterfactual: options?.against,
    batchTokens: batchTokensOf(given),
    memoryBytes: memoryOf(given, "1 GB"),
  };
  const result = await runNative(
    (control) => native().patchingScores(handleOf(model), instances, params, control),
    options,
  );
  const unmeasured = { completenessGap: new Float64Array(0), unitErrors: new Float64Array(0) };
  return framed(model, instances, given, method, { ...result, ...unmeasured });
}

/** Refuses options that contradict each other. */
function checkOptions(given: Readonly<Record<string, unknown>>, rule: string, isWhole: boolean): void {
  if (given["attention"] !== undefined && rule !== "relp")
    throw new AttributionError("invalid", '"attention" has a meaning with rule: "relp" only; leave it out');
  if (given["against"] !== undefined && given["baseline"] !== undefined)
    throw new AttributionError("invalid", '"against" and "baseline" both say what w⁰ is; leave one out');
  if (!isWhole) return;
  for (const name of ["positions", "engine"])
    if (given[name] !== undefined && given[name] !== "readout")
      throw new AttributionError(
        "unsupported",
        `Other rules than "gradient", "against" and "gradDrop" score the readout position by one full backward; leave out "${name}"`,
      );
}

function checkPart(given: Readonly<Record<string, unknown>>, part: string, site: Site): void {
  if (part === "output") return;
  if (site !== "heads")
    throw new AttributionError("invalid", `Only heads have a ${part}: set site: "heads" with part: "${part}"`);
  if (given["against"] === undefined)
    throw new AttributionError("missing", `part: "${part}" takes the value of other prompts: name them in "against"`);
}
