// Seconds of each stage that a call reports through onProgress.
import type { Progress } from "../types/common";

export interface Stages {
  readonly onProgress: (progress: Progress) => void;
  /** Ends the stage under way; seconds by stage, summed where a stage comes again. */
  end(): Readonly<Record<string, number>>;
}

export function stages(): Stages {
  const taken: Record<string, number> = {};
  let [since, under]: [number, string | undefined] = [performance.now(), undefined];
  const enter = (stage: string | undefined): void => {
    if (stage === under) return;
    const now = performance.now();
    if (under !== undefined) taken[under] = (taken[under] ?? 0) + (now - since) / 1000;
    [since, under] = [now, stage];
  };
  return {
    onProgress: ({ stage }) => enter(stage),
    end: () => {
      enter(undefined);
      return taken;
    },
  };
}
