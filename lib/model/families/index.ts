// The table of families. A new one is a file beside this, a row here and a golden fixture.
import { AttributionError, shown } from "../../errors";
import { refuseForeign, type Config } from "../config/config-reader";
import { bloom } from "./bloom";
import type { Body, Family } from "./family";
import { gpt2 } from "./gpt2";
import { gptNeoX } from "./gpt-neox";
import { llama } from "./llama";
import { mistral } from "./mistral";
import { opt } from "./opt";
import { qwen2 } from "./qwen2";
import { qwen3 } from "./qwen3";

export const families: ReadonlyMap<string, Family> = new Map(
  [opt, bloom, gptNeoX, gpt2, llama, mistral, qwen2, qwen3].map((family) => [family.modelType, family]),
);

/** The family that `model_type` names; "unknown" with the list of those there are. */
export function familyOf(config: Config): Family {
  const type = config["model_type"];
  const known = [...families.keys()].join(", ");
  if (type === undefined) throw new AttributionError("missing", `config.json has no "model_type". Known: ${known}`);
  const family = typeof type === "string" ? families.get(type) : undefined;
  if (family === undefined) throw new AttributionError("unknown", `Unknown model_type ${shown(type)}. Known: ${known}`);
  return family;
}

/** The architecture without its head; "unsupported" for a setting that this library cannot honour. */
export function readBody(family: Family, config: Config): Body {
  refuseForeign(config);
  return family.readBody(config);
}
