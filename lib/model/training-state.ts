// What a checkpoint of a training run tells beside its weights: how far the run was, its learning rate, and Adam's moments.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Model } from "../../types/model";
import type { NativeFineTuneParams, NativeModel } from "../../types/native";
import { AttributionError } from "../errors";
import { callNative, native, runNative } from "../native";
import { fileExists, readJsonObject } from "../storage/files";
import { readSafetensors } from "../storage/safetensors";
import { mapWeights } from "./weights/checkpoint-weights";
import { familyOf } from "./families";

export interface TrainingState {
  /** 1-based. */
  readonly epoch: number;
  /** Optimizer steps made. */
  readonly step: number;
  /** Mean over the epoch's steps. */
  readonly learningRate: number;
  readonly betas: readonly [number, number];
}

const stateFile = "training.json";
export const momentFiles = { first: "first-moment.safetensors", second: "second-moment.safetensors" } as const;

/** `learningRates` [step] of the whole run; `epoch` is 0-based. */
export async function writeTrainingState(
  directory: string,
  epoch: number,
  { epochs, beta1, beta2 }: NativeFineTuneParams,
  learningRates: Float64Array,
): Promise<void> {
  const steps = learningRates.length / epochs;
  const own = learningRates.subarray(epoch * steps, (epoch + 1) * steps);
  const state: TrainingState = {
    epoch: epoch + 1,
    step: (epoch + 1) * steps,
    learningRate: own.reduce((sum, rate) => sum + rate, 0) / steps,
    betas: [beta1, beta2],
  };
  await writeFile(join(directory, stateFile), `${JSON.stringify(state, null, 2)}\n`);
}

/** Undefined where the directory is no checkpoint of a run. */
export async function readTrainingState(directory: string): Promise<TrainingState | undefined> {
  const path = join(directory, stateFile);
  if (!(await fileExists(path))) return undefined;
  const { epoch, step, learningRate, betas } = await readJsonObject(path);
  const isState =
    [epoch, step, learningRate].every((value) => typeof value === "number" && value >= 0) &&
    Array.isArray(betas) &&
    betas.length === 2 &&
    betas.every((beta) => typeof beta === "number" && beta >= 0 && beta < 1);
  if (!isState)
    throw new AttributionError(
      "corrupt",
      `Expected ${path} to hold the numbers "epoch", "step", "learningRate" and two "betas"`,
    );
  return { epoch, step, learningRate, betas } as unknown as TrainingState;
}

export interface Moments extends Disposable {
  readonly first: NativeModel;
  readonly second: NativeModel;
}

/** Adam's moments that lie beside a checkpoint's weights, in the model's type and on its device. */
export async function openMoments(model: Model, directory: string): Promise<Moments> {
  const first = await openMoment(model, join(directory, momentFiles.first));
  try {
    const second = await openMoment(model, join(directory, momentFiles.second));
    return { first, second, [Symbol.dispose]: () => [first, second].forEach((moment) => native().closeModel(moment)) };
  } catch (error) {
    native().closeModel(first);
    throw error;
  }
}

async function openMoment({ architecture, config, dtype, device }: Model, path: string): Promise<NativeModel> {
  if (!(await fileExists(path)))
    throw new AttributionError("missing", `There is no ${path}: fine-tune with checkpoints and optimizerState: true`);
  const expected = callNative((addon) => addon.expectedWeights(architecture));
  const { weights } = mapWeights(familyOf(config), architecture, await readSafetensors(path), expected, false);
  const { model } = await runNative((control) =>
    native().openModel({ architecture, weights, dtype, device, newHeadSeed: -1, newHeadDeviation: 0 }, control),
  );
  return model;
}
