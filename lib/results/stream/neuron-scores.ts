// Neuron scores of any number of instances: opens the folder that integratedGradientsTo wrote, and reads rows of it.
import { join, resolve } from "node:path";
import { AttributionError, expected } from "../../errors";
import { integer, oneOf, onlyKnown, pathOf } from "../../options";
import { corrupt } from "../../storage/listing";
import { pacer } from "../../pacing";
import type { NeuronAttribution, NeuronRow, NeuronScores } from "../../../types/results";
import { blockHeader, readRows } from "./neuron-scores-block";
import { hashOfFile } from "../../storage/file-hash";
import { isWhole, readScores, requestHash, type ScoresManifest } from "./neuron-scores-manifest";

/**
 * Opens a finished folder. Checks its manifest and that each block belongs to it; with `verify: "contents"` also every byte
 * ("corrupt"). "missing" where there is none, or the run that makes it is not finished.
 * @example const scores = await openNeuronScores("results/na"); const { indices } = await readNeuronRow(scores, 17);
 */
export async function openNeuronScores(
  directory: string,
  options?: {
    /** @default "structure" */
    readonly verify?: "structure" | "contents";
  },
): Promise<NeuronScores> {
  const verify = oneOf(onlyKnown(options, ["verify"]), "verify", "structure", ["structure", "contents"]);
  const folder = resolve(pathOf("directory", "a folder's path", directory));
  const manifest = await readScores(folder);
  if (!isWhole(manifest))
    throw new AttributionError(
      "missing",
      `The scores in ${folder} are not finished: make the call that began them again, and it goes on`,
    );
  const request = requestHash(manifest.request);
  for (const { file, sha256 } of manifest.blocks) {
    const path = join(folder, file);
    if ((await blockHeader(path)).metadata["request"] !== request)
      throw corrupt(path, "it belongs to another manifest");
    if (verify === "contents" && (await hashOfFile(path)) !== sha256)
      throw corrupt(path, "its contents are not what was written");
  }
  return scoresOf(folder, manifest);
}

function scoresOf(directory: string, { request, blocks }: ScoresManifest): NeuronScores {
  const { instances, layers, units, site, select, unit, provenance } = request;
  return Object.freeze({
    kind: "neuronScores",
    directory,
    instances,
    layers,
    units,
    site,
    select: Object.freeze(select),
    unit,
    blocks: Object.freeze(blocks),
    provenance: Object.freeze(provenance),
  });
}

/**
 * One instance's scores: the selected units best first, or all in their order. Reads that row only.
 * @example const { indices, scores, targetValue } = await readNeuronRow(await openNeuronScores("results/na"), 17);
 */
export async function readNeuronRow(scores: NeuronScores, row: number): Promise<NeuronRow> {
  requireScores(scores);
  if (!Number.isInteger(row) || row < 0 || row >= scores.instances)
    throw expected("row", `a row within 0–${scores.instances - 1}`, row);
  const [found] = await rowsOf(scores, row, 1);
  return found;
}

/**
 * The instances first … first + count as a `NeuronAttribution`, for every function that takes one; units that were not selected
 * have the score 0. Its data hash is that of the whole. Memory: count × layers × units numbers.
 * @example const part = await readNeuronScores(await openNeuronScores("results/na"), { first: 1000, count: 100 });
 */
export async function readNeuronScores(
  scores: NeuronScores,
  options?: {
    /** @default 0 */
    readonly first?: number;
    /** @default all from `first` on */
    readonly count?: number;
  },
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, ["first", "count"]);
  requireScores(scores);
  const first = integer(given, "first", 0, 0, scores.instances - 1);
  const count = integer(given, "count", scores.instances - first, 1, scores.instances - first);
  const { layers, units, site, unit, provenance } = scores;
  const rows = await rowsOf(scores, first, count);
  const width = layers * units;
  const values = new Float32Array(count * width);
  const pace = pacer();
  for (const [i, { indices, scores: own }] of rows.entries()) {
    for (let k = 0; k < indices.length; k++) values[i * width + indices[k]] = own[k];
    await pace();
  }
  const completenessGap = new Float64Array(rows[0].completenessGap.length * count);
  rows.forEach((row, i) => completenessGap.set(row.completenessGap, i * row.completenessGap.length));
  return Object.freeze({
    kind: "neurons",
    scores: values,
    instances: count,
    layers,
    units,
    site,
    instanceIds: Object.freeze(rows.map(({ id }) => id)),
    targetValues: Float64Array.from(rows, ({ targetValue }) => targetValue),
    targetLabels: Int32Array.from(rows, ({ targetLabel }) => targetLabel),
    completenessGap,
    unit,
    provenance,
  });
}

function requireScores(value: unknown): asserts value is NeuronScores {
  const { kind, directory, blocks, instances } = (
    typeof value === "object" && value !== null ? value : {}
  ) as Partial<NeuronScores>;
  const isWhole =
    kind === "neuronScores" && typeof directory === "string" && Array.isArray(blocks) && Number.isInteger(instances);
  if (!isWhole) throw expected("scores", "a NeuronScores from openNeuronScores or integratedGradientsTo", value);
}

async function rowsOf(
  { directory, blocks, layers, units }: NeuronScores,
  first: number,
  count: number,
): Promise<NeuronRow[]> {
  const rows: NeuronRow[] = [];
  let begin = 0;
  for (const { file, instances } of blocks) {
    const from = Math.max(first, begin);
    const to = Math.min(first + count, begin + instances);
    if (from < to)
      rows.push(...(await readRows(join(directory, file), from - begin, to - from, layers, layers * units)));
    begin += instances;
  }
  return rows;
}
