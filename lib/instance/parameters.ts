// The parameters whose gradients are compared: linear modules by name, weight and bias together.
import type { Architecture } from "../../types/architecture";
import { AttributionError, expected } from "../errors";
import { callNative } from "../native";

/**
 * "mlp" and "attention": those linear modules of all blocks; "linear": both; "head": the output projection or the class scores.
 * Or module names, "*" standing for any run of characters: `["layers.11.mlp.*", "score"]`.
 */
export type Parameters = "mlp" | "attention" | "linear" | "head" | readonly string[];

const groups: Readonly<Record<string, RegExp>> = {
  mlp: /^layers\.\d+\.mlp\./, attention: /^layers\.\d+\.attention\./, linear: /^layers\./, head: /^(output|score)$/,
};

/** Names of the selected modules, in the order of the forward. */
export function modulesOf(architecture: Architecture, value: unknown): string[] {
  const all = callNative((addon) => addon.linearModules(architecture));
  if (typeof value === "string" && value in groups) return all.filter((name) => groups[value].test(name));
  const words = 'one of "mlp", "attention", "linear", "head" or a list of module names';
  if (!Array.isArray(value) || value.length === 0) throw expected("parameters", words, value);
  const chosen = new Set<string>();
  for (const pattern of value as unknown[]) {
    if (typeof pattern !== "string") throw expected("parameters", words, pattern);
    const found = all.filter((name) => matcher(pattern).test(name));
    if (found.length === 0) throw new AttributionError("unknown", `No linear module matches "${pattern}". Modules: ${all.slice(0, 8).join(", ")}, … ${all.at(-1)}`);
    found.forEach((name) => chosen.add(name));
  }
  return all.filter((name) => chosen.has(name));
}

function matcher(pattern: string): RegExp {
  return new RegExp(`^${pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`);
}
