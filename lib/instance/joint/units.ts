// The units that have weights among an attribution's parameters.
import type { Model } from "../../../types/model";
import type { Site } from "../../../types/results";

/** The units that have weights among the modules: the core numbers them in the same way. */
export function unitsOf(
  { architecture: { intermediate, heads } }: Model,
  modules: readonly string[],
): { readonly site: Site; readonly units: number; readonly neurons: number } {
  const hasNeurons = modules.some((name) => name.includes(".mlp."));
  const hasHeads = modules.some((name) => /\.attention\.(?!\w+Norm$)/.test(name));
  const neurons = hasNeurons ? intermediate : 0;
  return {
    site: hasNeurons && hasHeads ? "both" : hasNeurons ? "neurons" : "heads",
    units: neurons + (hasHeads ? heads : 0),
    neurons,
  };
}
