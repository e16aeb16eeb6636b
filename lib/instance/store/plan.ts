// What a gradient store will cost, from a short calibration run.
import { tmpdir } from "node:os";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { StorePlan } from "../../../types/store";
import { selectInstances } from "../../data/instances";
import { checkLosses } from "../../model/fit";
import { handleOf } from "../../model/model";
import { native, runNative } from "../../native";
import { onlyKnown, pathOf } from "../../options";
import { freeBytes, shardShape, shardsOf } from "./layout";
import { seededSettings } from "./projection";
import { packedOrder, tokensOf } from "./progress";
import { type GradientStoreOptions, requestOf, storeOptionNames } from "./options";

/** Tokens of the calibration run, in batches. */
const calibrationBatches = 3;
/** Features held by a calibration run: 1 GiB of floats, as much as a batch of buildGradientStore's. */
const mostFeatures = 2 ** 28;

/**
 * Bytes on disk (exact), peak memory and seconds of buildGradientStore with these options. Computes a few batches: the longest
 * instances, which take the most memory, and a sample of all lengths, which gives the throughput. "pca" counts as two passes.
 * @param directory where the store is to go, for the room left there; default: the folder for temporary files
 * @example const { bytesOnDisk, seconds } = await planGradientStore(model, train, { rank: 32 });
 */
export async function planGradientStore(
  model: Model,
  train: Instances,
  options?: GradientStoreOptions,
  directory = tmpdir(),
): Promise<StorePlan> {
  const given = onlyKnown(options, storeOptionNames);
  pathOf("directory", "a folder's path", directory);
  checkLosses(model, train, "train");
  const request = requestOf(model, train, given);
  const { settings, batchTokens, rowsPerShard, segments } = request;
  const width = segments[segments.length - 1];
  const order = packedOrder(train);
  const most = Math.max(1, Math.floor(mostFeatures / width));
  const run = async (indices: readonly number[]) => {
    const instances = selectInstances(train, indices);
    const started = performance.now();
    await runNative(
      (control) =>
        native().gradientFeatures(
          handleOf(model),
          instances,
          { settings: seededSettings(settings), batchTokens },
          control,
        ),
      { signal: options?.signal },
    );
    return instances.tokens.length / ((performance.now() - started) / 1000);
  };
  const peakMemoryBytes = await peakWhile(() => run(longestOf(train, order, batchTokens).slice(0, most)));
  const tokensPerSecond = await run(spreadOf(train, order, calibrationBatches * batchTokens, most));
  const tokens = train.tokens.length;
  const passes = settings.projection === "pca" ? 2 : 1;
  return Object.freeze({
    rows: train.size,
    width,
    tokens,
    peakMemoryBytes,
    tokensPerSecond,
    seconds: (passes * tokens) / tokensPerSecond,
    bytesOnDisk: shardsOf(train.size, rowsPerShard, 0).reduce(
      (sum, { rows }) => sum + shardShape(request, rows).bytes,
      train.size,
    ),
    bytesFree: await freeBytes(directory),
  });
}

/** The first batch: the longest instances. */
function longestOf(train: Instances, order: Int32Array, budget: number): number[] {
  const chosen: number[] = [];
  for (let tokens = 0, i = 0; i < order.length && (i === 0 || tokens + tokensOf(train, order[i]) <= budget); i++) {
    chosen.push(order[i]);
    tokens += tokensOf(train, order[i]);
  }
  return chosen;
}

/** Instances of all lengths in their proportions, of about `budget` tokens, at most so many. */
function spreadOf(train: Instances, order: Int32Array, budget: number, most: number): number[] {
  const count = Math.max(1, Math.min(order.length, most, Math.round((budget * order.length) / train.tokens.length)));
  return Array.from({ length: count }, (_, i) => order[Math.floor(((i + 0.5) * order.length) / count)]);
}

/** How far the process's memory rises while a job runs on the native thread. */
async function peakWhile(job: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 5);
  try {
    await job();
  } finally {
    clearInterval(timer);
  }
  return Math.max(most, process.memoryUsage.rss()) - before;
}
