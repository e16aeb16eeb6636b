// Phi-3 and Phi-4-mini: Llama with fused projections (queries, keys, values; gate and up) and a long rope scaling.
import { dropout, type Config } from "../config/config-reader";
import { llamaBody, llamaNames } from "./llama";
import { withWindows, type Body, type Family } from "./family";
import { readWindow } from "./window";

const originalPositions = 4096;

export const phi3: Family = {
  modelType: "phi3",
  causalLM: "Phi3ForCausalLM",
  classification: "Phi3ForSequenceClassification",
  ...llamaNames,
  modules: {
    ...llamaNames.modules,
    "layers.{i}.attention.qkv": "layers.{i}.self_attn.qkv_proj",
    "layers.{i}.mlp.gateUp": "layers.{i}.mlp.gate_up_proj",
  },
  readBody,
};

function readBody(config: Config): Body {
  const body = llamaBody(renamed(config), {
    vocabulary: 32064,
    intermediate: 8192,
    positions: 4096,
    keyValueHeads: undefined,
    epsilon: 1e-5,
    share: 1,
  });
  const window = readWindow(config, body.positions);
  return {
    ...withWindows(body, () => window),
    queryKeyValue: "concatenated",
    fusedGate: true,
    dropout: {
      embedding: dropout(config, "embd_pdrop", 0),
      attention: body.dropout.attention,
      residual: dropout(config, "resid_pdrop", 0),
    },
  };
}

/** Its first files call the long scaling "su" or "yarn". */
function renamed(config: Config): Config {
  const modern = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const { type, rope_type: kind = type, ...others } = value as Config;
    return { ...others, rope_type: kind === "su" || kind === "yarn" ? "longrope" : kind };
  };
  return {
    ...config,
    original_max_position_embeddings: config["original_max_position_embeddings"] ?? originalPositions,
    rope_scaling: modern(config["rope_scaling"]),
    rope_parameters: modern(config["rope_parameters"]),
  };
}
