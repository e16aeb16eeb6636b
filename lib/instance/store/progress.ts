// Progress of a run over packed instances with its throughput and the time left, counted in tokens: batches come longest first.
import type { CallOptions, Progress } from "../../../types/common";
import type { Instances } from "../../../types/data";

/** Instances in the order in which the native core packs them: longest row first. */
export function packedOrder({ size, rowOffsets, groupOffsets }: Instances): Int32Array {
  const longest = Int32Array.from({ length: size }, (_, i) => {
    let most = 0;
    for (let row = groupOffsets[i]; row < groupOffsets[i + 1]; row++)
      most = Math.max(most, rowOffsets[row + 1] - rowOffsets[row]);
    return most;
  });
  return Int32Array.from({ length: size }, (_, i) => i).sort((a, b) => longest[b] - longest[a] || a - b);
}

export function tokensOf({ rowOffsets, groupOffsets }: Instances, instance: number): number {
  return rowOffsets[groupOffsets[instance + 1]] - rowOffsets[groupOffsets[instance]];
}

/** A listener for `done` of the packed instances; `written` [instance] are those that need no work. */
export function timedProgress(
  instances: Instances,
  written: Uint8Array,
  onProgress: CallOptions["onProgress"],
): CallOptions["onProgress"] {
  if (typeof onProgress !== "function") return onProgress;
  const order = packedOrder(instances);
  const until = new Float64Array(order.length + 1); // tokens of work in the first i packed instances
  order.forEach((instance, i) => {
    until[i + 1] = until[i] + (written[instance] === 1 ? 0 : tokensOf(instances, instance));
  });
  let started: number | undefined;
  return ({ done, total, stage }: Progress) => {
    started ??= performance.now();
    const seconds = (performance.now() - started) / 1000;
    const worked = until[done];
    if (worked === 0 || seconds === 0) return onProgress({ done, total, stage });
    const tokensPerSecond = worked / seconds;
    return onProgress({
      done,
      total,
      stage,
      tokensPerSecond,
      secondsLeft: (until[order.length] - worked) / tokensPerSecond,
    });
  };
}
