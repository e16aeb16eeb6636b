// OLMo 3: OLMo 2 with windows in three of four layers, which a rope scaling leaves alone.
import { setting, unsupported, type Config } from "../config/config-reader";
import { readLayerRotaries } from "../config/layer-rotaries";
import { shown } from "../../errors";
import { llamaBody, readBiases } from "./llama";
import { olmo2 } from "./olmo2";
import type { Body, Family } from "./family";
import { readWindow, slidingLayers } from "./window";

const base = { name: "rope_theta", fallback: 500_000 };

export const olmo3: Family = {
  ...olmo2,
  modelType: "olmo3",
  causalLM: "Olmo3ForCausalLM",
  classification: "Olmo3ForSequenceClassification",
  readBody,
};

function readBody(config: Config): Body {
  const { rope_parameters: parameters, rope_scaling: _scaling, ...others } = config; // they are of the layers
  requireOneMeaning(config, parameters);
  const body = llamaBody(others, {
    vocabulary: 50304,
    intermediate: 11008,
    positions: 2048,
    keyValueHeads: undefined,
    epsilon: 1e-5,
  });
  const isSliding = slidingLayers(config, body.layers, (layer) => (layer + 1) % 4 !== 0);
  const window = readWindow(config, body.positions, 4096);
  return {
    ...body,
    ...readBiases(config),
    mlpBias: false,
    normOrder: "output",
    queryKeyNorm: "projection",
    rotary: readLayerRotaries(config, body, base, base),
    attention: body.attention.map((layer, i) => ({
      ...layer,
      window: isSliding[i] ? window : 0,
      rotary: isSliding[i] ? 1 : 0,
    })),
  };
}

/** transformers 4 and 5 read another base, or parameters that are not of a kind of layer, in different ways. */
function requireOneMeaning(config: Config, parameters: unknown): void {
  const theta = setting(config, "rope_theta");
  if (theta !== undefined && theta !== base.fallback) throw unsupported(`"rope_theta": ${shown(theta)}`);
  if (parameters === undefined || parameters === null) return;
  const other = Object.keys(parameters).find((name) => name !== "full_attention" && name !== "sliding_attention");
  if (other !== undefined) throw unsupported(`"${other}" in "rope_parameters", outside its kinds of layers`);
}
