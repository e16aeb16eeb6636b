// LiSSA's settings in the paper (Yu et al. 2024), per model family and data set.
import { expected } from "../../errors";

interface Setting {
  readonly damping: number;
  readonly depth: number;
  readonly scale: number;
  readonly batchSize: number;
}

const settings = {
  "paper:opt:averitec": { damping: 0.04, depth: 0.3, scale: 1e4, batchSize: 8 },
  "paper:opt:mnli": { damping: 0.03, depth: 0.3, scale: 1e5, batchSize: 8 },
  "paper:opt:hans": { damping: 0.03, depth: 0.3, scale: 1e5, batchSize: 8 },
  "paper:bloom:averitec": { damping: 0.05, depth: 0.2, scale: 1e5, batchSize: 2 },
  "paper:bloom:mnli": { damping: 0.065, depth: 0.07, scale: 1e6, batchSize: 2 },
  "paper:bloom:hans": { damping: 0.05, depth: 0.07, scale: 1e6, batchSize: 2 },
  "paper:pythia:averitec": { damping: 0.03, depth: 0.3, scale: 1e5, batchSize: 4 },
  "paper:pythia:csqa": { damping: 0.05, depth: 0.15, scale: 1e5, batchSize: 4 },
} as const satisfies Readonly<Record<string, Setting>>;

export type PaperLissaPreset = keyof typeof settings;

/** The setting of a preset, with recursions = depth × number of training batches. `damping` is relative to `scale` (λ = damping · scale). */
export function paperLissa(
  preset: unknown,
  trainSize: number,
): { damping: number; scale: number; batchSize: number; recursions: number } {
  const setting: Setting | undefined =
    typeof preset === "string" && Object.hasOwn(settings, preset) ? settings[preset as PaperLissaPreset] : undefined;
  if (setting === undefined)
    throw expected(
      "preset",
      `one of ${Object.keys(settings)
        .map((name) => `"${name}"`)
        .join(", ")}`,
      preset,
    );
  const { damping, scale, batchSize, depth } = setting;
  return { damping, scale, batchSize, recursions: Math.max(1, Math.round(depth * Math.ceil(trainSize / batchSize))) };
}
