// SmolLM3: Llama of which every fourth layer turns nothing.
import { count, flag, setting, type Config, wrong } from "../config/config-reader";
import { llamaBody, llamaNames, readBiases } from "./llama";
import type { Body, Family } from "./family";
import { readWindow, slidingLayers } from "./window";

export const smollm3: Family = {
  modelType: "smollm3",
  causalLM: "SmolLM3ForCausalLM",
  classification: "SmolLM3ForSequenceClassification",
  ...llamaNames,
  readBody,
};

function readBody(config: Config): Body {
  const body = llamaBody(config, {
    vocabulary: 128256,
    intermediate: 11008,
    positions: 32768,
    keyValueHeads: 4,
    base: 2_000_000,
    isTied: true,
  });
  const turns = readTurns(config, body.layers);
  const hasWindow = flag(config, "use_sliding_window", false);
  const window = hasWindow ? readWindow(config, body.positions) : 0;
  const isSliding = slidingLayers(config, body.layers, (layer) => hasWindow && !turns[layer]);
  return {
    ...body,
    ...readBiases(config),
    attention: body.attention.map((layer, i) => ({
      ...layer,
      rotary: turns[i] ? 0 : -1,
      window: isSliding[i] ? window : 0,
    })),
  };
}

/** Whether each layer has rotary embeddings: `no_rope_layers` says 1 where it has. */
function readTurns(config: Config, layers: number): readonly boolean[] {
  const list = setting(config, "no_rope_layers");
  const interval = count(config, ["no_rope_layer_interval"], 4);
  if (list === undefined) return Array.from({ length: layers }, (_, layer) => (layer + 1) % interval !== 0);
  if (!Array.isArray(list) || list.length !== layers || !list.every((one) => one === 0 || one === 1))
    throw wrong(["no_rope_layers"], `a list of ${layers} zeros and ones`, list);
  return list.map((one) => one === 1);
}
