// What `adapter` of fineTune asks for: a new low-rank adapter over some of the model's linear modules.
import { AttributionError, expected } from "../../errors";
import { callNative } from "../../native";
import { integer, number, onlyKnown, seedOf } from "../../options";
import type { Adapter, Architecture } from "../../../types/architecture";
import { adaptable } from "./tensors";

export interface AdapterRequest {
  /** Rows of A and columns of B. @default 8 */
  readonly rank?: number;
  /** B (A x) is multiplied by alpha / rank. @default the rank */
  readonly alpha?: number;
  /** Modules that get an adapter: "attention", "mlp", "linear" (both), or names, "*" standing for any run of characters. @default "linear" */
  readonly targets?: "attention" | "mlp" | "linear" | readonly string[];
  /** Share of A's inputs that is dropped while training. @default 0 */
  readonly dropout?: number;
  /** Seed of A, which is uniform within ±1/√inputs; B begins at 0. @default 42 */
  readonly seed?: number;
}

const groups = { attention: /\.attention\./, mlp: /\.mlp\./, linear: /^/ } as const;

/** The architecture with the adapter; a classification's or choice's own head belongs to it. */
export function requestedAdapter(
  base: Architecture,
  request: AdapterRequest,
): { readonly architecture: Architecture; readonly seed: number } {
  const bag = onlyKnown(request, ["rank", "alpha", "targets", "dropout", "seed"]);
  if (base.adapter !== undefined)
    throw new AttributionError(
      "invalid",
      'The model has an adapter already, which fineTune trains: leave "adapter" out, or load the model with adapter: "merge"',
    );
  const rank = integer(bag, "rank", 8, 1, 1 << 16);
  const scale = number(bag, "alpha", rank, -1e6, 1e6) / rank;
  const modules = targetsOf(base, bag["targets"] ?? "linear").map((module) => ({ module, rank, scale }));
  const saved = base.head.kind === "causalLM" ? [] : ["score"];
  const adapter: Adapter = { modules, saved, dropout: number(bag, "dropout", 0, 0, 1 - Number.EPSILON) };
  return { architecture: { ...base, adapter }, seed: seedOf(bag) };
}

function targetsOf(base: Architecture, targets: unknown): string[] {
  const matrices = callNative((addon) => addon.expectedWeights(base)).filter(({ shape }) => shape.length === 2);
  const all = matrices.map(({ name }) => name.replace(/\.weight$/, "")).filter((name) => adaptable.test(name));
  const words = `one of ${Object.keys(groups)
    .map((name) => `"${name}"`)
    .join(", ")} or a list of names of linear modules`;
  if (typeof targets === "string" && Object.hasOwn(groups, targets))
    return all.filter((name) => groups[targets as keyof typeof groups].test(name));
  if (!Array.isArray(targets) || targets.length === 0) throw expected("adapter.targets", words, targets);
  const chosen = new Set<string>();
  for (const pattern of targets as unknown[]) {
    if (typeof pattern !== "string") throw expected("adapter.targets", words, pattern);
    const found = all.filter((name) => matches(pattern, name));
    if (found.length === 0)
      throw new AttributionError(
        "unknown",
        `No linear module of the blocks matches "${pattern}". There are ${all.slice(0, 7).join(", ")}, …`,
      );
    found.forEach((name) => chosen.add(name));
  }
  return all.filter((name) => chosen.has(name));
}

function matches(pattern: string, name: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
}
