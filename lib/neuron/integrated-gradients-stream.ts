// Integrated gradients of any number of instances, block by block in bounded memory: as an async iterator, or into a folder.
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, NeuronScores } from "../../types/results";
import { selectInstances } from "../data/instances";
import { pacedBy, stopIfAborted } from "../pacing";
import { AttributionError, expected } from "../errors";
import { batchTokensOf } from "../model/batching";
import { checkFit } from "../model/fit";
import { libtorchVersion } from "../native";
import { integer, memoryOf, oneOf, onlyKnown, pathOf } from "../options";
import { provenance } from "../provenance";
import { fileExists } from "../storage/files";
import { hashOfFile } from "../storage/file-hash";
import { withLock } from "../storage/lock";
import { blockHeader, writeBlock } from "../results/stream/neuron-scores-block";
import {
  findScores,
  isWhole,
  plannedBlocks,
  requestHash,
  requireSameRequest,
  type ScoresManifest,
  type ScoresRequest,
  writeScores,
} from "../results/stream/neuron-scores-manifest";
import { openNeuronScores } from "../results/stream/neuron-scores";
import { selectIndices, type Selection } from "../results/top";
import type { Baseline } from "./baseline";
import {
  integratedGradients,
  integratedGradientsMethod,
  integratedGradientsNames,
  type IntegratedGradientsOptions,
} from "./integrated-gradients";
import { shownOptions, unitsOf } from "./neuron-scores";

export interface IntegratedGradientsStreamOptions extends IntegratedGradientsOptions {
  /** Instances of a block. @default as many as a sixteenth of `memory` holds the scores of, at most 256 */
  readonly blockInstances?: number;
}

export interface IntegratedGradientsToOptions extends IntegratedGradientsStreamOptions {
  /** What of each instance is written: all scores, the best `topK`, or those above a fraction of the maximum. @default { keep: "all" } */
  readonly select?: Selection;
}

/**
 * The same scores as `integratedGradients`, in blocks of instances in their order, one computed when the one before was taken: memory
 * does not grow with their number. Each block is a result of its own (its data hash is that of its instances). Leaving the loop ends
 * the work. Cost: as `integratedGradients`.
 * @example for await (const block of integratedGradientsStream(model, instances)) console.log(top(block, 0, 5));
 */
export async function* integratedGradientsStream(
  model: Model,
  instances: Instances,
  options?: IntegratedGradientsStreamOptions,
): AsyncGenerator<NeuronAttribution, void, void> {
  const given = onlyKnown(options, [...integratedGradientsNames, "blockInstances"]);
  checkFit(model, instances, "instances");
  const block = blockOf(model, given);
  for (let first = 0; first < instances.size; first += block)
    yield blockScores(model, instances, given, first, Math.min(block, instances.size - first), options);
}

/**
 * Writes integrated gradients of any number of instances into a folder of their own, a file per block and a manifest; memory does
 * not grow with their number. A call that was aborted or killed at any moment goes on when it is made again, and the finished
 * folder is bit for bit that of an uninterrupted call with as many threads. Other arguments are refused and named ("mismatch").
 * Read it with `openNeuronScores`, `readNeuronRow` and `readNeuronScores`. Cost: as `integratedGradients`.
 * @example await integratedGradientsTo("results/na", model, instances, { select: { topK: 100 } });
 */
export async function integratedGradientsTo(
  directory: string,
  model: Model,
  instances: Instances,
  options?: IntegratedGradientsToOptions,
): Promise<NeuronScores> {
  const given = onlyKnown(options, [...integratedGradientsNames, "blockInstances", "select"]);
  const folder = resolve(pathOf("directory", "a folder's path", directory));
  checkFit(model, instances, "instances");
  const request = requestOf(model, instances, given, options);
  return withLock(folder, "neuron scores", () => resume(folder, request, model, instances, given, options));
}

/** Writes the blocks that are not there yet, then the manifest with their fingerprints. */
async function resume(
  folder: string,
  request: ScoresRequest,
  model: Model,
  instances: Instances,
  given: Readonly<Record<string, unknown>>,
  options?: IntegratedGradientsToOptions,
): Promise<NeuronScores> {
  const found = await findScores(folder);
  if (found !== undefined) requireSameRequest(folder, found, request);
  if (found !== undefined && isWhole(found)) return openNeuronScores(folder);
  const manifest = found ?? { request, blocks: plannedBlocks(request) };
  if (found === undefined) await writeScores(folder, manifest);
  await writeMissing(folder, manifest, model, instances, given, options);
  const blocks: NeuronScores["blocks"][number][] = [];
  for (const block of manifest.blocks) blocks.push({ ...block, sha256: await hashOfFile(join(folder, block.file)) });
  await writeScores(folder, { request: manifest.request, blocks });
  return openNeuronScores(folder);
}

async function writeMissing(
  folder: string,
  { request, blocks }: ScoresManifest,
  model: Model,
  instances: Instances,
  given: Readonly<Record<string, unknown>>,
  call?: CallOptions,
): Promise<void> {
  const { select: _select, ...own } = given;
  const key = requestHash(request);
  const pace = pacedBy(call?.signal);
  let first = 0;
  for (const { file, instances: count } of blocks) {
    const path = join(folder, file);
    stopIfAborted(call?.signal);
    if (!(await isBlockOf(path, key)))
      await writeBlock(
        path,
        await blockScores(model, instances, own, first, count, call),
        request.select,
        { request: key, first: String(first) },
        pace,
      );
    first += count;
  }
}

/** Whether a block was written whole for this request: it is renamed into place only then. */
async function isBlockOf(path: string, key: string): Promise<boolean> {
  return (
    (await fileExists(path)) &&
    blockHeader(path).then(
      ({ metadata }) => metadata["request"] === key,
      () => false,
    )
  );
}

/** Options that list something per instance are cut with the instances; progress counts over all blocks. */
async function blockScores(
  model: Model,
  instances: Instances,
  given: Readonly<Record<string, unknown>>,
  first: number,
  count: number,
  call?: CallOptions,
): Promise<NeuronAttribution> {
  const { blockInstances: _block, ...options } = given as IntegratedGradientsStreamOptions;
  const chosen = selectInstances(
    instances,
    Array.from({ length: count }, (_, i) => first + i),
  );
  const cut = <T>(name: string, list: ArrayLike<T>): T[] => {
    if (list.length !== instances.size)
      throw expected(name, `an entry for each of the ${instances.size} instances`, list);
    return Array.from({ length: count }, (_, i) => list[first + i]);
  };
  const { of, contrast, positions } = options;
  return integratedGradients(model, chosen, {
    ...options,
    ...(typeof of === "object" && of !== null && { of: cut("of", of) }),
    ...(typeof contrast === "object" && contrast !== null && { contrast: cut("contrast", contrast) }),
    ...(Array.isArray(positions) && { positions: cut("positions", positions as readonly (readonly number[])[]) }),
    onProgress: call?.onProgress && ((p) => call.onProgress!({ ...p, done: first + p.done, total: instances.size })),
  });
}

function blockOf({ architecture }: Model, given: Readonly<Record<string, unknown>>): number {
  const site = given["site"] === "heads" || given["site"] === "both" ? given["site"] : "neurons";
  const each = architecture.layers * unitsOf(architecture, site) * 4;
  return integer(
    given,
    "blockInstances",
    Math.max(1, Math.min(256, Math.floor(memoryOf(given, "1 GB") / 16 / each))),
    1,
  );
}

function requestOf(
  model: Model,
  instances: Instances,
  given: Readonly<Record<string, unknown>>,
  options: IntegratedGradientsToOptions | undefined,
): ScoresRequest {
  const method = integratedGradientsMethod(model, given, options);
  const shown = shownOptions(given, method, instances);
  const select = options?.select ?? { keep: "all" as const };
  if (typeof select !== "object" || select === null)
    throw expected("select", '{ keep: "all" }, { topK } or { fractionOfMaximum }', select);
  selectIndices(new Float32Array(0), select); // refuses what is no selection
  const { architecture } = model;
  const site = shown["site"] as NeuronScores["site"];
  return {
    instances: instances.size,
    layers: architecture.layers,
    units: unitsOf(architecture, site),
    site,
    select,
    unit: method.unit,
    provenance: provenance({
      method: method.name,
      options: shown,
      model,
      data: { instances },
      libtorch: libtorchVersion(),
    }),
    baselineHash: baselineHash(options?.baseline),
    engine: oneOf(given, "engine", "cache", ["cache", "full"]),
    blockInstances: blockOf(model, given),
    batchTokens: batchTokensOf(given),
    memoryBytes: memoryOf(given, "1 GB"),
  };
}

function baselineHash(baseline: Baseline | undefined): string {
  if (baseline === undefined || baseline === "zero") return "";
  const parts = ArrayBuffer.isView(baseline) ? [baseline] : [baseline.neurons, baseline.heads];
  const hash = createHash("sha256");
  for (const part of parts) {
    if (part !== undefined && !ArrayBuffer.isView(part))
      throw new AttributionError("invalid", 'Expected the values of "baseline" to be Float32Arrays');
    hash.update(`${part?.length ?? 0}\n`);
    if (part !== undefined) hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  return hash.digest("hex");
}
