// Two rotary embeddings, of layers without and with a window: nested by the layers' type in transformers 5, in 4 by names of the
// family's own, where a scaling is of the layers without.
import type { Rotary } from "../../../types/architecture";
import { real, setting, type Config } from "./config-reader";
import { requestOf, scaledRotary } from "./rotary";

/** What an embedding's base is called in transformers 4, and what it is where config.json is silent. */
export interface LayerBase {
  readonly name: string;
  readonly fallback: number;
}

/** Of layers without a window, then of those with one. */
export function readLayerRotaries(
  config: Config,
  { headSize, positions }: { readonly headSize: number; readonly positions: number },
  full: LayerBase,
  sliding: LayerBase,
): readonly [Rotary, Rotary] {
  const { rope_parameters: parameters, rope_scaling: scaling, ...others } = config;
  const nested = typeof parameters === "object" && parameters !== null ? (parameters as Config) : {};
  const one = (type: string, { name, fallback }: LayerBase, own: unknown) => {
    const request = requestOf(own === undefined || own === null ? `rope_parameters.${type}` : "rope_scaling", {
      ...(setting(nested, type) as object | undefined),
      ...(own as object | undefined),
    });
    const base = request.base ?? real(config, [name], fallback, 1, 1e15);
    return scaledRotary(others, request, { headSize, base, positions });
  };
  return [one("full_attention", full, scaling), one("sliding_attention", sliding, undefined)];
}
