// Sliding windows are not supported; one that no input can reach changes nothing and is accepted.
import { count, flag, setting, unsupported, type Config } from "../config/config-reader";

/** Mistral: every layer has the window, unless it is null. */
export function refuseWindow(config: Config, positions: number, fallback: number): void {
  if (config["sliding_window"] === null) return;
  const window = count(config, ["sliding_window"], fallback);
  if (window < positions) throw unsupported(`"sliding_window": ${window}, shorter than its ${positions} positions`);
}

/** Qwen: layers from `max_window_layers` on, or those that `layer_types` names, have it where `use_sliding_window` is true. */
export function refuseLayerWindow(config: Config, positions: number, layers: number): void {
  const types = setting(config, "layer_types");
  if (types !== undefined && !Array.isArray(types)) throw unsupported('"layer_types" that are no list');
  const other: unknown = types?.find((type) => type !== "full_attention" && type !== "sliding_attention");
  if (other !== undefined) throw unsupported(`"layer_types" with ${JSON.stringify(other)}`);
  if (!flag(config, "use_sliding_window", false)) {
    if (types?.includes("sliding_attention") === true)
      throw unsupported('"layer_types" with "sliding_attention" but no window');
    return;
  }
  const firstLayer = typeof config["max_window_layers"] === "number" ? config["max_window_layers"] : 28;
  const isUsed = types === undefined ? firstLayer < layers : types.includes("sliding_attention");
  if (isUsed) refuseWindow(config, positions, 4096);
}
