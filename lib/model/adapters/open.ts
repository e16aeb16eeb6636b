// An adapter's folder over its base, kept apart or merged; and a new adapter over a model.
import { join } from "node:path";
import { AttributionError } from "../../errors";
import { native, runNative } from "../../native";
import { fileExists, readJsonObject } from "../../storage/files";
import type { ListedTensor } from "../../storage/listing";
import { readPytorchBin } from "../../storage/pytorch-bin";
import { readSafetensors } from "../../storage/safetensors";
import type { Architecture } from "../../../types/architecture";
import type { CallOptions } from "../../../types/common";
import type { Model } from "../../../types/model";
import type { HeadRequest } from "../config/head";
import { familyOf } from "../families";
import { handleOf, wrapLike } from "../model";
import type { AdapterConfig } from "./config";
import { planAdapter } from "./tensors";

/** The head that saveModel states beside an adapter, whose base may have another. */
export const headFile = "attribution_head.json";

/** The base under the adapter of a folder. The base may be closed afterwards. */
export async function openAdapter(
  directory: string,
  config: AdapterConfig,
  base: Model,
  call: CallOptions,
): Promise<Model> {
  requireCausal(base.architecture);
  const tensors = await adapterTensors(directory);
  const { architecture, weights } = planAdapter(config, familyOf(base.config), base.architecture, tensors);
  const info = await runNative(
    (control) => native().addAdapter(handleOf(base), { architecture, weights, seed: -1 }, control),
    call,
  );
  return wrapLike(base, info, architecture);
}

/** A new adapter over a model, which may be closed afterwards: A drawn, B = 0. */
export async function newAdapter(
  model: Model,
  architecture: Architecture,
  seed: number,
  call: CallOptions,
): Promise<Model> {
  requireCausal(architecture);
  const info = await runNative(
    (control) => native().addAdapter(handleOf(model), { architecture, weights: [], seed }, control),
    call,
  );
  return wrapLike(model, info, architecture);
}

function requireCausal({ causal, family }: Architecture): void {
  if (causal === false)
    throw new AttributionError(
      "unsupported",
      `Adapters of encoders (${family}) are not supported. Merge it first (peft: merge_and_unload), and load what that writes`,
    );
}

/** The plain model with the same outputs. */
export async function mergeAdapter(model: Model, call: CallOptions): Promise<Model> {
  const { adapter: _adapter, ...architecture } = model.architecture;
  const info = await runNative((control) => native().mergeAdapter(handleOf(model), control), call);
  return wrapLike(model, info, architecture);
}

async function adapterTensors(directory: string): Promise<ListedTensor[]> {
  const [safetensors, bin] = [join(directory, "adapter_model.safetensors"), join(directory, "adapter_model.bin")];
  if (await fileExists(safetensors)) return readSafetensors(safetensors);
  if (await fileExists(bin)) return readPytorchBin(bin);
  throw new AttributionError(
    "missing",
    `${directory} has no adapter_model.safetensors and no adapter_model.bin beside its adapter_config.json`,
  );
}

/** The head that the folder states; undefined where it states none. */
export async function storedHead(directory: string): Promise<HeadRequest | undefined> {
  const path = join(directory, headFile);
  return (await fileExists(path)) ? ((await readJsonObject(path)) as unknown as HeadRequest) : undefined;
}
