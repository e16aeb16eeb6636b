// The parameters whose gradients are compared: modules by name, weight and bias together.
import type { Architecture } from "../../../types/architecture";
import { AttributionError, expected } from "../../errors";
import { callNative } from "../../native";

/**
 * "mlp" and "attention": those linear modules of all blocks; "linear": both; "head": the output projection or the class scores;
 * "embedding": the token and position tables and, where the model has them, the projections of the embedding; "norm": every LayerNorm or
 * RMSNorm, of queries and keys too; "all": everything.
 * Or module names, "*" standing for any run of characters: `["layers.11.mlp.*", "score"]`, `["embedding.token", "*orm"]`, `["*"]`.
 *
 * Names: embedding.token, embedding.position, embedding.norm, embedding.projectIn; in each block layers.N.attentionNorm,
 * layers.N.attention.{qkv | query, key, value, queryNorm, keyNorm, output}, layers.N.attentionOutputNorm, layers.N.mlpNorm,
 * layers.N.mlp.{gate, up | gateUp, down}, layers.N.mlpOutputNorm; finalNorm, embedding.projectOut; output (of a language model) or score.
 *
 * A tied output projection is the token embedding, one parameter: "embedding.token" has the gradient of both uses, as PyTorch has it,
 * and takes "output" in where both are chosen. "output" alone is the part of the gradient that comes through the head.
 */
export type Parameters = "mlp" | "attention" | "linear" | "head" | "embedding" | "norm" | "all" | readonly string[];

const groups: Readonly<Record<string, RegExp>> = {
  mlp: /^layers\.\d+\.mlp\./,
  attention: /^layers\.\d+\.attention\.(?!\w+Norm$)/,
  linear: /^layers\.\d+\.(mlp|attention)\.(?!\w+Norm$)/,
  head: /^(output|score)$/,
  embedding: /^embedding\.(?!norm$)/,
  norm: /(\.n|N)orm$/,
  all: /^/,
};

/** Names of the selected modules, in the order in which a model stores them. */
export function modulesOf(architecture: Architecture, value: unknown): string[] {
  const all = callNative((addon) => addon.moduleNames(architecture));
  if (typeof value === "string" && Object.hasOwn(groups, value))
    return untied(
      architecture,
      all.filter((name) => groups[value].test(name)),
    );
  const words = `one of ${Object.keys(groups)
    .map((name) => `"${name}"`)
    .join(", ")} or a list of module names`;
  if (!Array.isArray(value) || value.length === 0) throw expected("parameters", words, value);
  const chosen = new Set<string>();
  for (const pattern of value as unknown[]) {
    if (typeof pattern !== "string") throw expected("parameters", words, pattern);
    const found = all.filter((name) => matcher(pattern).test(name));
    if (found.length === 0)
      throw new AttributionError(
        "unknown",
        `No module matches "${pattern}". Modules: ${all.slice(0, 8).join(", ")}, … ${all.at(-1)}`,
      );
    found.forEach((name) => chosen.add(name));
  }
  return untied(
    architecture,
    all.filter((name) => chosen.has(name)),
  );
}

/** Whether a module is a table whose rows are looked up. */
export function isTable(name: string): boolean {
  return /^embedding\.(token|position)$/.test(name);
}

/** A tied output projection and the token embedding are one parameter, which counts once. */
function untied({ head, tiedOutput }: Architecture, names: string[]): string[] {
  const both = head.kind === "causalLM" && tiedOutput && names.includes("embedding.token");
  return both ? names.filter((name) => name !== "output") : names;
}

function matcher(pattern: string): RegExp {
  return new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*")}$`,
  );
}
