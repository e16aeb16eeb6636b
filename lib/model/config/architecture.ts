// From config.json to an architecture: the family's body and the head.
import type { Architecture } from "../../../types/architecture";
import { familyOf, readBody } from "../families";
import type { Family } from "../families/family";
import { headSize, resolveHead, type Head, type HeadRequest } from "./head";
import type { Config } from "./config-reader";

export interface Plan {
  readonly family: Family;
  readonly architecture: Architecture;
  readonly head: Head;
}

/** What config.json describes, with the head asked for; "unknown" or "unsupported" where it cannot be built. */
export function planModel(config: Config, request?: HeadRequest): Plan {
  const family = familyOf(config);
  const { headKinds, ...body } = readBody(family, config);
  const head = resolveHead(config, request, family);
  const own = headKinds?.[head.kind === "maskedLM" ? "maskedLM" : "classification"];
  return { family, head, architecture: { family: family.modelType, ...body, head: { ...headSize(head), ...own } } };
}
