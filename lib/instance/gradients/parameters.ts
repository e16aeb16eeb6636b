// The parameters whose gradients are compared: modules by name, weight and bias together.
import type { Architecture } from "../../../types/architecture";
import { AttributionError, expected } from "../../errors";
import { callNative } from "../../native";

/**
 * "mlp" and "attention": those linear modules of all blocks; "linear": both; "head": the output projection or the class scores, and what
 * encoders have before them;
 * "embedding": the token, position and type tables and, where the model has them, the projections of the embedding; "norm": every LayerNorm or
 * RMSNorm, of queries and keys too; "all": everything.
 * "adapter": A and B of every adapted module, and the modules that belong to the adapter; it is the default of a model with an
 * adapter. The other groups but "all" leave A and B out.
 * Or module names, "*" standing for any run of characters: `["layers.11.mlp.*", "score"]`, `["embedding.token", "*orm"]`, `["*"]`.
 *
 * Names: embedding.token, embedding.position, embedding.type, embedding.norm, embedding.projectIn; in each block layers.N.attentionNorm,
 * layers.N.attention.{qkv | query, key, value, queryNorm, keyNorm, output}, layers.N.attentionOutputNorm, layers.N.mlpNorm,
 * layers.N.mlp.{gate, up | gateUp, down}, layers.N.mlpOutputNorm; finalNorm, embedding.projectOut; output (of a language model)
 * or score; of encoders also head.dense, head.norm, and outputBias, the bias of a tied output.
 * A layer with experts has layers.N.mlp.router, layers.N.mlp.experts.E.{gate, up, down}, layers.N.mlp.shared.{gate, up, down, router}.
 * Each is a module of its own, whose gradient is of the tokens that the router sends there: `["*.experts.*"]`, `["*.router"]`.
 * An adapter of layers.N.mlp.down has layers.N.mlp.down.loraA and layers.N.mlp.down.loraB.
 *
 * A tied output projection is the token embedding, one parameter: "embedding.token" has the gradient of both uses, as PyTorch has it,
 * and takes "output" in where both are chosen. "output" alone is the part of the gradient that comes through the head.
 */
export type Parameters =
  "mlp" | "attention" | "linear" | "head" | "embedding" | "norm" | "adapter" | "all" | readonly string[];

const groups: Readonly<Record<string, RegExp>> = {
  mlp: /^layers\.\d+\.mlp\./,
  attention: /^layers\.\d+\.attention\.(?!\w+Norm$)/,
  linear: /^layers\.\d+\.(mlp|attention)\.(?!\w+Norm$)/,
  head: /^(output|outputBias|score|head\.\w+)$/,
  embedding: /^embedding\.(?!norm$)/,
  norm: /(\.n|N)orm$/,
  all: /^/,
};

/** Names of the selected modules, in the order in which a model stores them. */
export function modulesOf(architecture: Architecture, value: unknown): string[] {
  const all = callNative((addon) => addon.moduleNames(architecture));
  if (typeof value === "string" && (value === "adapter" || Object.hasOwn(groups, value)))
    return untied(architecture, groupOf(architecture, value, all));
  const words = `one of ${["adapter", ...Object.keys(groups)]
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

function groupOf({ adapter }: Architecture, group: string, all: readonly string[]): string[] {
  const isLow = (name: string) => /\.lora[AB]$/.test(name);
  if (group !== "adapter") return all.filter((name) => groups[group].test(name) && (group === "all" || !isLow(name)));
  if (adapter === undefined)
    throw new AttributionError("invalid", `The model has no adapter for "parameters": "adapter"`);
  return all.filter((name) => isLow(name) || adapter.saved.includes(name));
}

/** The group that is taken where `parameters` is not given. */
export function defaultParameters({ adapter }: Architecture, plain: Parameters): Parameters {
  return adapter === undefined ? plain : "adapter";
}

/** Whether a module is a table whose rows are looked up. */
export function isTable(name: string): boolean {
  return /^embedding\.(token|position|type)$/.test(name);
}

/** A tied output projection and the token embedding are one parameter, which counts once. */
function untied({ head, tiedOutput }: Architecture, names: string[]): string[] {
  const speaks = head.kind === "causalLM" || head.kind === "maskedLM";
  const both = speaks && tiedOutput && names.includes("embedding.token");
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
