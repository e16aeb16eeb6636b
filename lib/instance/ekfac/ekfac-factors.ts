// EK-FAC's factors on disk: fitted once, read by every later call of influence.
import { rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { WeightSource } from "../../../types/architecture";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NativeFeatureParams, NativeInfluenceParams } from "../../../types/native";
import type { EkfacFactors } from "../../../types/store";
import { AttributionError } from "../../errors";
import { batchOptionNames, type BatchOptions } from "../../model/batching";
import { checkLosses } from "../../model/fit";
import { handleOf } from "../../model/model";
import { libtorchVersion, native, runNative } from "../../native";
import { oneOf, onlyKnown, pathOf, seedOf } from "../../options";
import { libraryVersion } from "../../provenance";
import { hashOfFile } from "../../storage/file-hash";
import { fileExists, namesIn } from "../../storage/files";
import { besideName } from "../../storage/partial";
import { corrupt } from "../../storage/listing";
import { withLock } from "../../storage/lock";
import { readSafetensors } from "../../storage/safetensors";
import { manifestFile, type ManifestKind, readSealed, writeSealed } from "../../storage/sealed-manifest";
import { featureParams } from "../gradients/features";
import type { Parameters } from "../gradients/parameters";

export interface EkfacOptions extends BatchOptions {
  /** Linear modules, each with factors of its own; others are refused ("unsupported"). @default "mlp" */
  readonly parameters?: Parameters;
  /** A causal LM's loss of an instance: summed over its target tokens, or their mean. @default "sum" */
  readonly reduction?: "sum" | "mean";
  /** Labels of the gradients: drawn from the model (the true Fisher information), or the instances' own (the empirical one). @default "sampled" */
  readonly fisher?: "sampled" | "empirical";
  /** Of the labels that are drawn from the model. @default 42 */
  readonly seed?: number;
  /** What gradients and factors may take at a time: bytes, or text such as "2 GB". @default "1 GB" */
  readonly memory?: number | string;
}

/** What the factors depend on. */
interface Request extends Pick<
  EkfacFactors,
  "modules" | "reduction" | "fisher" | "seed" | "modelHash" | "dtype" | "dataHash"
> {
  readonly modules: readonly string[];
}

interface Stored extends Request {
  readonly versions: EkfacFactors["versions"];
  /** Of the factors' file, hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

const kind: ManifestKind = {
  format: "attribution-ekfac-factors",
  schema: 1,
  field: "factors",
  what: "EK-FAC factors",
  maker: "fitEkfac",
};
const factorsFile = "factors.safetensors";
const parts = ["inputBasis", "outputBasis", "eigenvalues"] as const;

/**
 * Fits EK-FAC's factors to the training set and writes them into a folder, which `influence` takes as `factors`. Per module: the
 * eigenvectors of its input and output covariances, and the mean squares of the gradients in that basis (George et al. 2018), under labels
 * drawn from the model or the gold ones (`fisher`). The head's input covariance counts only the positions that the head is read at.
 * A folder that holds the factors of the same call is opened and nothing is fitted; those of
 * another model, data or options are refused ("mismatch"). Cost: two forwards and backwards per instance and an eigendecomposition of
 * each side of each module, in float64; (in² + out² + in · out) numbers per module on disk. The factors grow in the folder's file: those
 * beyond a third of `memory` are resident only while their module is at work.
 * @example await fitEkfac(model, train, "factors/mnli", { parameters: "mlp" });
 * const ia = await influence(model, train, queries, { inverse: "ekfac", factors: "factors/mnli" });
 */
export async function fitEkfac(
  model: Model,
  train: Instances,
  directory: string,
  options?: EkfacOptions,
): Promise<EkfacFactors> {
  const given = onlyKnown(options, [...batchOptionNames, "parameters", "reduction", "fisher", "seed", "memory"]);
  checkLosses(model, train, "train");
  const folder = folderOf(directory, "directory");
  const params = { ...featureParams(model, given), fisher: fisherOf(given), seed: seedOf(given) };
  const request: Request = {
    modules: params.modules,
    reduction: params.reduction,
    fisher: params.fisher,
    seed: params.seed,
    modelHash: model.hash,
    dtype: model.dtype,
    dataHash: train.hash,
  };
  return withLock(folder, "EK-FAC factors", () => fitted(model, train, folder, request, params, options));
}

type FitParams = NativeFeatureParams & Pick<NativeInfluenceParams, "fisher" | "seed">;

async function fitted(
  model: Model,
  train: Instances,
  folder: string,
  request: Request,
  params: FitParams,
  options?: EkfacOptions,
): Promise<EkfacFactors> {
  if (await fileExists(join(folder, manifestFile))) {
    const stored = await readStored(folder);
    requireSame(folder, stored, request);
    await requireWhole(folder, stored, options?.signal);
    return described(folder, stored);
  }
  await requireEmpty(folder);
  const path = join(folder, factorsFile);
  const partial = besideName(path);
  try {
    await runNative(
      (control) => native().fitEkfac(handleOf(model), train, { ...params, path: partial }, control),
      options,
    );
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw cause;
  }
  const [sha256, tensors] = [await hashOfFile(path, options?.signal), await readSafetensors(path)];
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const stored: Stored = {
    ...request,
    versions: { attribution: libraryVersion(), libtorch: libtorchVersion() },
    sha256,
    bytes,
  };
  await writeSealed(folder, kind, stored);
  return described(folder, stored);
}

/** What a call of influence asks of stored factors; what it leaves open is theirs. */
export type FactorsRequest = Pick<Request, "modelHash" | "dtype" | "dataHash"> &
  Partial<Pick<Request, "modules" | "reduction" | "fisher" | "seed">>;

/** Factors for a call of influence: where each lies. "mismatch" where they were fitted to another model, data or options. */
export async function openFactors(
  directory: unknown,
  asked: FactorsRequest,
): Promise<{ stored: EkfacFactors; sources: WeightSource[] }> {
  const folder = folderOf(directory, "factors");
  const stored = await readStored(folder);
  requireSame(folder, stored, { ...stored, ...asked });
  await requireWhole(folder, stored);
  const path = join(folder, factorsFile);
  const names = stored.modules.flatMap((module) => parts.map((part) => `${module}.${part}`));
  const listed = await readSafetensors(path);
  const sources = names.map((name) => {
    const tensor = listed.find((each) => each.name === name);
    if (tensor === undefined) throw corrupt(path, `it lacks "${name}"`);
    return { ...tensor, weight: name } as WeightSource;
  });
  return { stored: described(folder, stored), sources };
}

export function fisherOf(given: Readonly<Record<string, unknown>>): "sampled" | "empirical" {
  return oneOf(given, "fisher", "sampled", ["sampled", "empirical"]);
}

function folderOf(directory: unknown, name: string): string {
  return resolve(pathOf(name, "a folder's path", directory));
}

async function requireEmpty(folder: string): Promise<void> {
  // What an interrupted call leaves behind is no obstacle.
  const foreign = (await namesIn(folder)).find((name) => !/^(manifest\.json|factors\.safetensors)$/.test(name));
  if (foreign !== undefined)
    throw new AttributionError(
      "invalid",
      `${folder} holds other files ("${foreign}"). Choose a folder that is new, empty or holds EK-FAC factors`,
    );
}

async function readStored(folder: string): Promise<Stored> {
  const stored = (await readSealed(folder, kind)) as Stored;
  const isText = (value: unknown) => typeof value === "string";
  const isWhole =
    typeof stored === "object" &&
    stored !== null &&
    Array.isArray(stored.modules) &&
    stored.modules.length > 0 &&
    stored.modules.every(isText) &&
    (stored.reduction === "sum" || stored.reduction === "mean") &&
    (stored.fisher === "sampled" || stored.fisher === "empirical") &&
    [stored.modelHash, stored.dtype, stored.dataHash, stored.sha256].every(isText) &&
    [stored.seed, stored.bytes].every((value) => Number.isSafeInteger(value) && value >= 0) &&
    typeof stored.versions === "object";
  if (!isWhole) throw corrupt(join(folder, manifestFile), "it does not describe EK-FAC factors");
  return stored;
}

/** Refuses factors of which a byte changed since they were fitted. */
async function requireWhole(folder: string, stored: Stored, signal?: AbortSignal): Promise<void> {
  const path = join(folder, factorsFile);
  if ((await hashOfFile(path, signal)) !== stored.sha256)
    throw corrupt(path, "its contents are not what was written. Remove the folder and fit them again");
}

const words: Readonly<Record<keyof Request, string>> = {
  modelHash: "the model",
  dtype: "the model's type",
  dataHash: "the training data",
  modules: "parameters",
  reduction: "reduction",
  fisher: "fisher",
  seed: "seed",
};

/** Refuses two requests that differ, naming the first difference. */
function requireSame(folder: string, stored: Request, asked: Request): void {
  for (const name of Object.keys(words) as (keyof Request)[]) {
    const [was, is] = [JSON.stringify(stored[name]), JSON.stringify(asked[name])];
    if (was !== is)
      throw new AttributionError(
        "mismatch",
        `The EK-FAC factors in ${folder} were fitted with ${words[name]} ${was}, but this call has ${is}. Fit others in another directory, or give the same ${words[name].replace(/^the /, "")}`,
      );
  }
}

function described(
  directory: string,
  { modules, reduction, fisher, seed, modelHash, dtype, dataHash, versions, bytes }: Stored,
): EkfacFactors {
  return Object.freeze({
    kind: "ekfacFactors",
    directory,
    modules: Object.freeze([...modules]),
    reduction,
    fisher,
    seed,
    modelHash,
    dtype,
    dataHash,
    versions: Object.freeze({ ...versions }),
    bytes,
  });
}
