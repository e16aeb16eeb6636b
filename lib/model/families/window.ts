// Sliding windows: of all layers, or of those that `layer_types` names.
import { count, flag, real, setting, unsupported, type Config } from "../config/config-reader";

/** `sliding_window`; 0 where it is null, or so wide that no input reaches its end. */
export function readWindow(config: Config, positions: number, fallback?: number): number {
  if (config["sliding_window"] === null || (config["sliding_window"] === undefined && fallback === undefined)) return 0;
  const window = count(config, ["sliding_window"], fallback ?? 0);
  return window < positions ? window : 0;
}

/** Whether each layer has the window, by `layer_types`, else by the family's rule. */
export function slidingLayers(config: Config, layers: number, rule: (layer: number) => boolean): readonly boolean[] {
  const types = setting(config, "layer_types");
  if (types === undefined) return Array.from({ length: layers }, (_, layer) => rule(layer));
  if (!Array.isArray(types)) throw unsupported('"layer_types" that are no list');
  if (types.length !== layers) throw unsupported(`"layer_types" of ${types.length} layers, but has ${layers}`);
  const other: unknown = types.find((type) => type !== "full_attention" && type !== "sliding_attention");
  if (other !== undefined) throw unsupported(`"layer_types" with ${JSON.stringify(other)}`);
  return types.map((type) => type === "sliding_attention");
}

/** Qwen: layers from `max_window_layers` on, or those that `layer_types` names, have it where `use_sliding_window` is true. */
export function readLayerWindows(
  config: Config,
  positions: number,
  layers: number,
  rule = (layer: number, first: number) => layer >= first,
): readonly number[] {
  const isUsed = flag(config, "use_sliding_window", false);
  const first = real(config, ["max_window_layers"], 28, 0, 1 << 24);
  const isSliding = slidingLayers(config, layers, (layer) => isUsed && rule(layer, first));
  if (!isUsed && isSliding.includes(true)) throw unsupported('"layer_types" with "sliding_attention" but no window');
  const window = isUsed ? readWindow(config, positions, 4096) : 0;
  return isSliding.map((slides) => (slides ? window : 0));
}
