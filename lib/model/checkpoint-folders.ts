// The folders of a run's checkpoints: written beside the earlier run's, and named once all of them are whole.
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Model } from "../../types/model";
import type { NativeFineTuneParams } from "../../types/native";
import { directoryExists, fileExists, unwritable } from "../storage/files";
import { withLock } from "../storage/lock";
import { syncFolder, syncFiles } from "../storage/partial";
import { configFile } from "./adapters/config";
import { saveModel, weightFile, weightsFile } from "./save-model";
import { momentFiles, writeTrainingState } from "./training-state";

/** The earlier run's checkpoints, while the new ones get their names. It is there only once the new ones are whole. */
const replacedName = ".replaced";
const unfinishedName = (epoch: number): string => `.epoch-${epoch}.unfinished`;
const unfinishedPattern = /^\.epoch-([1-9]\d*)\.unfinished$/;
const checkpointPattern = /^epoch-[1-9]\d*$/;

/** What a training run gives of its steps. */
interface Run {
  readonly learningRates: Float64Array;
}

/** Each epoch's folder is complete (configuration, tokenizer) before its weights are written, and renamed to its name at the end. */
export function withCheckpoints<T extends Run>(
  model: Model,
  request: { readonly folder: string; readonly keepsState: boolean },
  params: NativeFineTuneParams,
  train: (full: NativeFineTuneParams) => Promise<T>,
): Promise<T> {
  return withLock(request.folder, "checkpoints", () => writingCheckpoints(model, request, params, train));
}

async function writingCheckpoints<T extends Run>(
  model: Model,
  { folder, keepsState }: { readonly folder: string; readonly keepsState: boolean },
  params: NativeFineTuneParams,
  train: (full: NativeFineTuneParams) => Promise<T>,
): Promise<T> {
  if (await directoryExists(join(folder, replacedName))) await nameFinished(folder);
  const { header, weights } = weightFile(model, model.dtype);
  const unfinished = Array.from({ length: params.epochs }, (_, epoch) => join(folder, unfinishedName(epoch + 1)));
  for (const directory of unfinished) {
    await rm(directory, { recursive: true, force: true });
    await saveModel(model, directory, { dtype: model.dtype });
  }
  const files = (name: string): string[] => unfinished.map((directory) => join(directory, name));
  const moments = keepsState
    ? { firstMomentFiles: files(momentFiles.first), secondMomentFiles: files(momentFiles.second) }
    : {};
  let tuned: T;
  try {
    tuned = await train({
      ...params,
      checkpointFiles: files(weightsFile(model)),
      checkpointHeader: header,
      checkpointWeights: weights,
      ...moments,
    });
    for (const [epoch, directory] of unfinished.entries()) {
      await writeTrainingState(directory, epoch, params, tuned.learningRates);
      await syncFiles(directory);
    }
  } catch (error) {
    for (const directory of unfinished) await rm(directory, { recursive: true, force: true });
    throw error;
  }
  await mkdir(join(folder, replacedName)).catch((cause: unknown) => {
    throw unwritable(folder, cause);
  });
  await nameFinished(folder);
  return tuned;
}

/**
 * Names the finished epochs. The checkpoints of an earlier run are moved first, all of them: a folder never holds those of two runs.
 * Only renames happen in between. Where the process is killed there, both runs are whole under hidden names, and the next run in the
 * folder goes on here before it does anything else.
 */
async function nameFinished(folder: string): Promise<void> {
  try {
    const names = await readdir(folder);
    const finished = names.flatMap((name) => unfinishedPattern.exec(name)?.[1] ?? []).map(Number);
    finished.sort((a, b) => a - b);
    // The first epoch is named first. So while it waits, everything that has a name is the earlier run's.
    if (finished[0] === 1) await moveEarlier(folder, names);
    for (const epoch of finished) await rename(join(folder, unfinishedName(epoch)), join(folder, `epoch-${epoch}`));
    await syncFolder(folder);
    await rm(join(folder, replacedName), { recursive: true, force: true });
  } catch (cause) {
    throw unwritable(folder, cause);
  }
}

async function moveEarlier(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names.filter((each) => checkpointPattern.test(each)))
    if (await isModelFolder(join(folder, name))) await rename(join(folder, name), join(folder, replacedName, name));
}

async function isModelFolder(folder: string): Promise<boolean> {
  return (await fileExists(join(folder, "config.json"))) || (await fileExists(join(folder, configFile)));
}
