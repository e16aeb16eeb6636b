// GPT-BigCode (SantaCoder, StarCoder): GPT-2 with one key-value head, and linears stored [output, input].
import { flag, onlyNeutral, type Config } from "../config/config-reader";
import { gpt2 } from "./gpt2";
import type { Body, Family } from "./family";

export const gptBigCode: Family = {
  ...gpt2,
  modelType: "gpt_bigcode",
  causalLM: "GPTBigCodeForCausalLM",
  classification: "GPTBigCodeForSequenceClassification",
  readBody,
};

function readBody(config: Config): Body {
  onlyNeutral(config, { scale_attn_by_inverse_layer_idx: [false] });
  const body = gpt2.readBody({ activation_function: "gelu_pytorch_tanh", ...config });
  const isMultiQuery = flag(config, "multi_query", true);
  return {
    ...body,
    keyValueHeads: isMultiQuery ? 1 : body.heads,
    queryKeyValue: isMultiQuery ? "concatenated" : "interleaved",
    transposedLinears: false,
  };
}
