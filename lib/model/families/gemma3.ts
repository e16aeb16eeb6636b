// Gemma 3 (text): Gemma 2 with norms of queries and keys; windows in most layers, which have a rotary base of their own.
import { count, type Config } from "../config/config-reader";
import { readLayerRotaries } from "../config/layer-rotaries";
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
  const { rope_parameters: _parameters, rope_scaling: _scaling, ...others } = config; // they are of the layers
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
    rotary: readLayerRotaries(
      config,
      body,
      { name: "rope_theta", fallback: 1_000_000 },
      { name: "rope_local_base_freq", fallback: 10_000 },
    ),
    attention: body.attention.map((layer, i) => ({
      window: isSliding[i] ? window : 0,
      divisor: readDivisor(config),
      rotary: isSliding[i] ? 1 : 0,
    })),
  };
}
