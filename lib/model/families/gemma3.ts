// Gemma 3 (text): Gemma 2 with norms of queries and keys; windows in most layers, which have a rotary base of their own.
import type { Rotary } from "../../../types/architecture";
import { count, real, setting, type Config } from "../config/config-reader";
import { requestOf, scaledRotary } from "../config/rotary";
import { gemmaBody } from "./gemma";
import { gemmaNames, gemmaReads, readCaps, readDivisor } from "./gemma2";
import type { Body, Family } from "./family";
import { readWindow, slidingLayers } from "./window";

export const gemma3Text: Family = {
  modelType: "gemma3_text",
  causalLM: "Gemma3ForCausalLM",
  classification: "Gemma3TextForSequenceClassification",
  ...gemmaNames,
  reads: gemmaReads,
  readBody,
};

function readBody(config: Config): Body {
  const { rope_parameters: parameters, rope_scaling: scaling, ...others } = config;
  const body = gemmaBody(others, "hidden_activation", {
    vocabulary: 262208,
    intermediate: 9216,
    positions: 131072,
    keyValueHeads: 4,
    headSize: 256,
    isTied: true,
  });
  const pattern = count(config, ["sliding_window_pattern"], 6);
  const isSliding = slidingLayers(config, body.layers, (layer) => (layer + 1) % pattern !== 0);
  const window = readWindow(config, body.positions, 4096);
  return {
    ...body,
    ...readCaps(config, 0, 0),
    queryKeyNorm: "head",
    normOrder: "both",
    rotary: readRotaries(config, parameters, scaling, body),
    attention: body.attention.map((layer, i) => ({
      window: isSliding[i] ? window : 0,
      divisor: readDivisor(config),
      rotary: isSliding[i] ? 1 : 0,
    })),
  };
}

/** Of layers without and with the window: nested by the layers' type in transformers 5, two bases in 4, where a scaling is the first's. */
function readRotaries(config: Config, parameters: unknown, scaling: unknown, body: Body): readonly Rotary[] {
  const nested = typeof parameters === "object" && parameters !== null ? (parameters as Config) : {};
  const one = (type: string, name: string, fallback: number, own: unknown) => {
    const request = requestOf(own === undefined || own === null ? `rope_parameters.${type}` : "rope_scaling", {
      ...(setting(nested, type) as object | undefined),
      ...(own as object | undefined),
    });
    const base = request.base ?? real(config, [name], fallback, 1, 1e15);
    return scaledRotary(config, request, { headSize: body.headSize, base, positions: body.positions });
  };
  return [
    one("full_attention", "rope_theta", 1_000_000, scaling),
    one("sliding_attention", "rope_local_base_freq", 10_000, undefined),
  ];
}
