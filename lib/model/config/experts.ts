// Mixtures of experts as config.json describes them.
import { AttributionError } from "../../errors";
import type { Body, FusedNames } from "../families/family";
import { count, flag, onlyNeutral, setting, wrong, type Config } from "./config-reader";

/** What the families call a mixture's sizes; each states its defaults. */
export interface MixtureSettings {
  readonly experts: number;
  readonly chosen: number;
  /** Neurons of an expert. */
  readonly width: number;
  /** Neurons of the shared expert; 0 is none. */
  readonly shared?: number;
  readonly renormalised: boolean;
  /** Whether each layer has experts. */
  readonly layers: readonly boolean[];
}

/** The settings that name a number of experts; other families refuse them. */
export const expertCounts = ["num_experts", "num_local_experts"] as const;

/** How transformers names the experts of a layer that are one tensor. */
export const fusedNames: FusedNames = {
  gateUp: "layers.{i}.mlp.experts.gate_up_proj",
  down: "layers.{i}.mlp.experts.down_proj",
  router: "layers.{i}.mlp.gate",
};

/** Number of experts, and how many of them a token goes to; "invalid" where it goes to more than there are. */
export function readExperts(
  config: Config,
  fallback: { experts: number; chosen: number },
): { experts: number; chosen: number } {
  const experts = count(config, expertCounts, fallback.experts);
  const chosen = count(config, ["num_experts_per_tok"], fallback.chosen);
  if (chosen > experts)
    throw new AttributionError(
      "invalid",
      `Expected "num_experts_per_tok" in config.json to be at most its ${experts} experts but received ${chosen}`,
    );
  return { experts, chosen };
}

/** Layers with experts: every `decoder_sparse_step`-th one, but for those that `mlp_only_layers` names (Qwen). */
export function readSparseLayers(config: Config, layers: number): readonly boolean[] {
  const step = count(config, ["decoder_sparse_step"], 1);
  const dense = setting(config, "mlp_only_layers") ?? [];
  if (!Array.isArray(dense) || dense.some((layer) => !Number.isInteger(layer)))
    throw wrong(["mlp_only_layers"], "a list of layers", dense);
  return Array.from({ length: layers }, (_, layer) => !dense.includes(layer) && (layer + 1) % step === 0);
}

/** The body with its MLPs, of `intermediate` neurons, replaced by experts in some layers. */
export function withExperts(config: Config, body: Body, { shared = 0, ...settings }: MixtureSettings): Body {
  // Both would change the loss that is trained; neither changes what a trained model says.
  onlyNeutral(config, { output_router_logits: [false], router_jitter_noise: [0] });
  const { experts, width, layers } = settings;
  if (!layers.includes(true)) return body;
  const dense = layers.includes(false) ? body.intermediate : 0;
  return {
    ...body,
    intermediate: Math.max(experts * width + shared, dense),
    mixture: { ...settings, shared, dense },
  };
}

/** Whether the chosen experts' shares are divided by their sum. */
export function readRenormalised(config: Config): boolean {
  return flag(config, "norm_topk_prob", false);
}
