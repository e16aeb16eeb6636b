// Reads a result that `save` wrote, refusing what is damaged and, on request, what came about otherwise than expected.
import { join, resolve } from "node:path";
import { AttributionError, shown } from "../errors";
import { onlyKnown, pathOf, text } from "../options";
import { fileExists, readJsonObject } from "../storage/files";
import { readTensors, type TensorData } from "../storage/tensors";
import { unpack } from "./codec";
import { faultyField, kindOf, type StorableResult } from "./layout";
import {
  arraysFile,
  checkedManifest,
  damaged,
  hashOf,
  longestManifest,
  manifestFile,
  type Manifest,
  nextArraysFile,
} from "./manifest";
import type { Attribution, InstanceAttribution, NeuronAttribution, Provenance } from "../../types/results";

export interface LoadOptions {
  /** Refuses another kind of result: "instances", "neurons", or a test's name such as "sufficiency". @default any */
  readonly kind?: string;
  /** Refuses a result that differs in what is named here; options are compared name by name. @default nothing is compared */
  readonly expected?: Partial<Omit<Provenance, "options">> & { readonly options?: Readonly<Record<string, unknown>> };
}

const provenanceFields = [
  "method",
  "options",
  "modelHash",
  "dataHashes",
  "versions",
  "dtype",
] satisfies (keyof Provenance)[];

/**
 * Loads a result from its folder, frozen and equal to the one saved. "missing" without one, "corrupt" where a byte changed,
 * "unsupported" for a newer schema, "mismatch" where it differs from what is expected; the message names the difference.
 * Cost: the disk, and one pass of SHA-256 over the arrays.
 * @example const ia = await load("results/influence", { kind: "instances", expected: { modelHash: model.hash } });
 */
export function load(
  directory: string,
  options: LoadOptions & { readonly kind: "instances" },
): Promise<InstanceAttribution>;
export function load(
  directory: string,
  options: LoadOptions & { readonly kind: "neurons" },
): Promise<NeuronAttribution>;
export function load<R extends StorableResult = Attribution>(directory: string, options?: LoadOptions): Promise<R>;
export async function load(directory: string, options?: LoadOptions): Promise<StorableResult> {
  const given = onlyKnown(options, ["kind", "expected"]);
  if (given["kind"] !== undefined) text(given, "kind");
  onlyKnown(given["expected"] as object | undefined, provenanceFields);
  const folder = resolve(pathOf("directory", "a folder's path", directory));
  const { manifest, arrays } = await readWhole(folder);
  const result = (await unpack(manifest.result, arrays, (words) => damaged(folder, words))) as Record<string, unknown>;
  const fault = typeof result !== "object" || result === null ? "result" : faultyField(result);
  if (fault !== undefined) throw damaged(folder, `its "${fault}" does not fit a result of kind "${manifest.kind}"`);
  if (kindOf(result) !== manifest.kind)
    throw damaged(folder, `it holds "${kindOf(result)}" but says "${manifest.kind}"`);
  requireExpected(folder, result as unknown as StorableResult, options ?? {});
  return result as unknown as StorableResult;
}

const mostReplacements = 10;

/** Another process may replace the result meanwhile: then its new manifest is read, and its new arrays. */
async function readWhole(folder: string): Promise<{ manifest: Manifest; arrays: Record<string, TensorData> }> {
  const readManifest = async () =>
    checkedManifest(folder, await readJsonObject(join(folder, manifestFile), longestManifest));
  let manifest = await readManifest();
  for (let attempt = 1; ; attempt++) {
    try {
      return { manifest, arrays: await readArrays(folder, manifest) };
    } catch (error) {
      // The arrays may have taken their usual name between two looks: one more attempt under the same manifest.
      const now = await readManifest();
      if (attempt > 1 && (now.sha256 === manifest.sha256 || attempt === mostReplacements)) throw error;
      manifest = now;
    }
  }
}

async function readArrays(folder: string, manifest: Manifest): Promise<Record<string, TensorData>> {
  const next = join(folder, nextArraysFile(manifest));
  const { tensors, metadata } = await readTensors((await fileExists(next)) ? next : join(folder, arraysFile));
  if (metadata["manifest"] !== manifest.sha256)
    throw damaged(folder, `${arraysFile} belongs to another ${manifestFile}`);
  const names = Object.keys(manifest.arrays);
  if (names.length !== Object.keys(tensors).length)
    throw damaged(folder, `${arraysFile} does not hold the arrays that ${manifestFile} lists`);
  const arrays: Record<string, TensorData> = {};
  for (const [name, { shape, sha256 }] of Object.entries(manifest.arrays)) {
    const tensor = tensors[name];
    if (tensor === undefined) throw damaged(folder, `${arraysFile} has no array "${name}"`);
    if (String(tensor.shape) !== String(shape))
      throw damaged(
        folder,
        `the array "${name}" has the shape [${tensor.shape.join(", ")}], not [${shape.join(", ")}]`,
      );
    if ((await hashOf(tensor.data)) !== sha256)
      throw damaged(folder, `the array "${name}" was changed after it was written`);
    arrays[name] = tensor.data;
  }
  return arrays;
}

function requireExpected(folder: string, result: StorableResult, { kind, expected = {} }: LoadOptions): void {
  if (kind !== undefined && kindOf(result) !== kind) throw difference(folder, "kind", kind, kindOf(result));
  for (const [path, wanted] of leaves([], expected)) {
    const found = path.reduce<unknown>(
      (value, name) => (value as Record<string, unknown> | undefined)?.[name],
      result.provenance,
    );
    if (JSON.stringify(found) !== JSON.stringify(wanted)) throw difference(folder, path.join("."), wanted, found);
  }
}

/** The values to compare with their paths: those within `options`, `dataHashes` and `versions` one by one. */
function leaves(path: readonly string[], value: object): [readonly string[], unknown][] {
  return Object.entries(value).flatMap(([name, entry]): [readonly string[], unknown][] => {
    const isBag = path.length === 0 && typeof entry === "object" && entry !== null && !Array.isArray(entry);
    return isBag ? leaves([name], entry as object) : [[[...path, name], entry]];
  });
}

function difference(folder: string, name: string, wanted: unknown, found: unknown): AttributionError {
  return new AttributionError(
    "mismatch",
    `Expected the result in ${folder} to have "${name}" ${shown(wanted)} but it has ${shown(found)}. Choose another folder, or compute it again`,
  );
}
