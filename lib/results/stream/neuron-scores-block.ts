// One block of neuron scores on disk: all scores of its instances, or the selected ones as (index, score) behind row offsets. Parts
// of it are read without the rest.
import type { NeuronAttribution, NeuronRow } from "../../../types/results";
import { readSafetensorsContents } from "../../storage/safetensors";
import { withFile } from "../../storage/files";
import { corrupt, type ListedTensor } from "../../storage/listing";
import { type Tensor, type TensorData, writeSafetensors } from "../../storage/tensors";
import { rowScores, selectIndices, type Selection } from "../top";

const tensor = (data: TensorData, ...shape: number[]): Tensor => ({
  data,
  shape: shape.length > 0 ? shape : [data.length],
});

export async function writeBlock(
  path: string,
  block: NeuronAttribution,
  select: Selection,
  metadata: Readonly<Record<string, string>>,
  pace: () => Promise<void>,
): Promise<void> {
  const { instances, layers, units, completenessGap } = block;
  const ids = block.instanceIds.map((id) => Buffer.from(id));
  await writeSafetensors(
    path,
    {
      targetValues: tensor(block.targetValues),
      completenessGap: tensor(completenessGap, completenessGap.length / layers, layers),
      ...("keep" in select
        ? { scores: tensor(block.scores, instances, layers, units) }
        : await selected(block, select, pace)),
      targetLabels: tensor(block.targetLabels),
      idOffsets: tensor(offsetsOf(ids.map(({ length }) => length))),
      ids: tensor(new Uint8Array(Buffer.concat(ids))),
    },
    metadata,
  );
}

async function selected(
  block: NeuronAttribution,
  select: Selection,
  pace: () => Promise<void>,
): Promise<Record<string, Tensor>> {
  const rows: Int32Array[] = [];
  for (let row = 0; row < block.instances; row++) {
    rows.push(selectIndices(rowScores(block, row), select));
    await pace();
  }
  const offsets = offsetsOf(rows.map(({ length }) => length));
  const [indices, scores] = [new Int32Array(offsets[rows.length]), new Float32Array(offsets[rows.length])];
  rows.forEach((row, i) => {
    indices.set(row, offsets[i]);
    const own = rowScores(block, i);
    row.forEach((index, k) => {
      scores[offsets[i] + k] = own[index];
    });
  });
  return { scores: tensor(scores), indices: tensor(indices), rowOffsets: tensor(offsets) };
}

function offsetsOf(lengths: readonly number[]): Int32Array {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    offsets[i + 1] = offsets[i] + length;
  });
  return offsets;
}

/** What a block's header says: its tensors by name and its metadata. */
export async function blockHeader(path: string): Promise<{
  readonly tensors: ReadonlyMap<string, ListedTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}> {
  const { tensors, metadata } = await readSafetensorsContents(path);
  return { tensors: new Map(tensors.map((each) => [each.name, each])), metadata };
}

/** The rows first … first + count of a block whose instances have `entries` scores each. */
export async function readRows(
  path: string,
  first: number,
  count: number,
  layers: number,
  entries: number,
): Promise<NeuronRow[]> {
  const { tensors } = await blockHeader(path);
  return withFile(path, async (file) => {
    const part = async <T extends TensorData>(
      name: string,
      type: new (buffer: ArrayBuffer) => T,
      begin: number,
      length: number,
    ): Promise<T> => {
      const listed = tensors.get(name);
      const bytes = type.prototype as { BYTES_PER_ELEMENT: number };
      const size = bytes.BYTES_PER_ELEMENT;
      if (listed === undefined || begin < 0 || length < 0 || (begin + length) * size > listed.bytes)
        throw corrupt(path, `its "${name}" does not hold what it must`);
      const buffer = new ArrayBuffer(length * size);
      await file.readInto(new Uint8Array(buffer), listed.offset + begin * size);
      return new type(buffer);
    };
    const [values, labels] = [
      await part("targetValues", Float64Array, first, count),
      await part("targetLabels", Int32Array, first, count),
    ];
    const idOffsets = await part("idOffsets", Int32Array, first, count + 1);
    const ids = Buffer.from((await part("ids", Uint8Array, idOffsets[0], idOffsets[count] - idOffsets[0])).buffer);
    const gapped = (tensors.get("completenessGap")?.bytes ?? 0) > 0;
    const gaps = gapped
      ? await part("completenessGap", Float64Array, first * layers, count * layers)
      : new Float64Array(0);
    const isSparse = tensors.has("rowOffsets");
    const offsets = isSparse
      ? await part("rowOffsets", Int32Array, first, count + 1)
      : Int32Array.from({ length: count + 1 }, (_, i) => (first + i) * entries);
    const [begin, length] = [offsets[0], offsets[count] - offsets[0]];
    const scores = await part("scores", Float32Array, begin, length);
    const indices = isSparse
      ? await part("indices", Int32Array, begin, length)
      : Int32Array.from({ length: entries }, (_, i) => i);
    if (isSparse && indices.some((index) => index < 0 || index >= entries))
      throw corrupt(path, "it names units that there are not");
    return Array.from({ length: count }, (_, i) => {
      const [from, to] = [offsets[i] - begin, offsets[i + 1] - begin];
      return Object.freeze({
        id: ids.toString("utf8", idOffsets[i] - idOffsets[0], idOffsets[i + 1] - idOffsets[0]),
        indices: isSparse ? indices.subarray(from, to) : indices,
        scores: scores.subarray(from, to),
        targetValue: values[i],
        targetLabel: labels[i],
        completenessGap: gapped ? gaps.subarray(i * layers, (i + 1) * layers) : gaps,
      });
    });
  });
}
