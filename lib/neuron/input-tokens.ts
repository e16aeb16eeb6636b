// Which input tokens a prediction rests on.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InputTokens } from "../../types/results";
import { AttributionError } from "../errors";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "../model/batching";
import { checkFit } from "../model/fit";
import { handleOf } from "../model/model";
import { libtorchVersion, native, runNative } from "../native";
import { integer, oneOf, onlyKnown } from "../options";
import { provenance } from "../provenance";
import { gaussLegendre } from "./quadrature";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions, targetWords } from "./target";

export interface InputTokensOptions extends BatchOptions, TargetOptions {
  /** The path integral, or its first-order estimate at the input. @default "integratedGradients" */
  readonly method?: "integratedGradients" | "gradientTimesInput";
  /** Integrated gradients: Gauss-Legendre nodes of the path. @default 50 */
  readonly nodes?: number;
  /**
   * Where a token's embedding comes from: zero, or the mean of all tokens' embeddings. From zero, a model that norms its embeddings
   * sees their direction only, so F jumps at the start and `completenessGap` is large.
   * @default "mean" for integrated gradients, "zero" for gradient × input
   */
  readonly baseline?: "zero" | "mean";
}

const names = [
  ...batchOptionNames,
  ...targetOptionNames,
  "method",
  "nodes",
  "baseline",
] as const satisfies readonly (keyof InputTokensOptions)[];

/**
 * Per token t of an instance: Σ over features of (e_t − e⁰) ∫₀¹ ∂F(e⁰ + α(e − e⁰))/∂e_t dα, e the token embeddings of all tokens,
 * changed together; positions keep theirs. "gradientTimesInput" is (e_t − e⁰) ∂F/∂e_t at the input itself. With an embedding norm
 * (BLOOM), e is what leaves that norm.
 * An instance's scores sum to F − F(e⁰) up to `completenessGap`; raise `nodes` where that is large. Rows of a listwise instance that the target does not read score 0.
 * Positive: the token raises F. Unit: that of F. Source: Simonyan et al. 2014; Sundararajan et al. 2017.
 * Cost: `nodes` forwards and backwards per instance, one of each for "gradientTimesInput".
 * @returns scores [token] of each instance
 * @example const { scores, offsets } = await inputTokens(model, queries, { method: "gradientTimesInput" });
 */
export async function inputTokens(
  model: Model,
  instances: Instances,
  options?: InputTokensOptions,
): Promise<InputTokens> {
  const given = onlyKnown(options, names);
  const method = oneOf(given, "method", "integratedGradients", ["integratedGradients", "gradientTimesInput"]);
  const isPath = method === "integratedGradients";
  if (!isPath && given["nodes"] !== undefined)
    throw new AttributionError("invalid", '"nodes" has no meaning with method: "gradientTimesInput"; leave it out');
  const count = integer(given, "nodes", 50, 1, 1000);
  const baseline = oneOf(given, "baseline", isPath ? "mean" : "zero", ["zero", "mean"]);
  checkFit(model, instances, "instances");
  const target = targetOf(given, instances);
  const one = Float64Array.of(1);
  const params = {
    target,
    baseline,
    batchTokens: batchTokensOf(given),
    ...(isPath ? gaussLegendre(count) : { nodes: one, weights: one }),
  };
  const result = await runNative(
    (control) => native().inputTokens(handleOf(model), instances, params, control),
    options,
  );
  return Object.freeze({
    kind: "inputTokens",
    ...result,
    tokens: instances.tokens.slice(),
    offsets: Int32Array.from(instances.groupOffsets, (row) => instances.rowOffsets[row]),
    instances: instances.size,
    instanceIds: instances.ids,
    unit: targetWords(given),
    provenance: provenance({
      method: "inputTokens",
      options: {
        method,
        nodes: isPath ? count : null,
        baseline,
        ...shownTarget(target),
      },
      model,
      data: { instances },
      libtorch: libtorchVersion(),
    }),
  });
}
