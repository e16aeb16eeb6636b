// The table of families. A new one is a file beside this, a row here and a golden fixture.
import { AttributionError, shown } from "../../errors";
import { refuseForeign, type Config } from "../config/config-reader";
import { bert } from "./bert";
import { bloom } from "./bloom";
import { cohere } from "./cohere";
import { distilbert } from "./distilbert";
import { falcon } from "./falcon";
import { gemma } from "./gemma";
import { gemma2 } from "./gemma2";
import { gemma3Text } from "./gemma3";
import { gpt2 } from "./gpt2";
import { gptBigCode } from "./gpt-bigcode";
import { gptNeoX } from "./gpt-neox";
import { gptj } from "./gptj";
import { granite } from "./granite";
import { llama } from "./llama";
import { mistral } from "./mistral";
import { mixtral } from "./mixtral";
import { modernbert } from "./modernbert";
import { olmo } from "./olmo";
import { olmo2 } from "./olmo2";
import { olmo3 } from "./olmo3";
import { olmoe } from "./olmoe";
import { opt } from "./opt";
import { phi } from "./phi";
import { phi3 } from "./phi3";
import { qwen2 } from "./qwen2";
import { qwen2Moe } from "./qwen2-moe";
import { qwen3 } from "./qwen3";
import { qwen3Moe } from "./qwen3-moe";
import { roberta } from "./roberta";
import { smollm3 } from "./smollm3";
import { stablelm } from "./stablelm";
import type { Body, Family } from "./family";

const all: readonly Family[] = [
  bert,
  bloom,
  cohere,
  distilbert,
  falcon,
  gemma,
  gemma2,
  gemma3Text,
  gpt2,
  gptBigCode,
  gptNeoX,
  gptj,
  granite,
  llama,
  mistral,
  mixtral,
  modernbert,
  olmo,
  olmo2,
  olmo3,
  olmoe,
  opt,
  phi,
  phi3,
  qwen2,
  qwen2Moe,
  qwen3,
  qwen3Moe,
  roberta,
  smollm3,
  stablelm,
];

export const families: ReadonlyMap<string, Family> = new Map(all.map((family) => [family.modelType, family]));

/** The family that `model_type` names; "unknown" with the list of those there are. */
export function familyOf(config: Config): Family {
  const type = config["model_type"];
  const known = [...families.keys()].join(", ");
  if (type === undefined) throw new AttributionError("missing", `config.json has no "model_type". Known: ${known}`);
  const family = typeof type === "string" ? families.get(type) : undefined;
  if (family === undefined) throw new AttributionError("unknown", `Unknown model_type ${shown(type)}. Known: ${known}`);
  return { ...family, ...family.refine?.(config) };
}

/** The architecture without its head; "unsupported" for a setting that this library cannot honour. */
export function readBody(family: Family, config: Config): Body {
  refuseForeign(config, family.reads);
  return family.readBody(config);
}
