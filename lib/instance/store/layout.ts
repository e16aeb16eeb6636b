// A gradient store's files. Each shard is a safetensors file with the tensors "losses" [row], "scales" [row, module] (int8 only) and
// "features" [row, width]; "flags" has a byte for each row of the store, 1 once it is written; ids are text in tensors.
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import type { NativeStore, RowType } from "../../../types/native";
import { AttributionError } from "../../errors";
import { fileExists, fillBeside, unwritable, withFile } from "../../storage/files";
import { corrupt } from "../../storage/listing";
import { safetensorsHeader } from "../../storage/safetensors";
import { readTensors, writeSafetensors } from "../../storage/tensors";
import { featureBytes } from "./options";

export const flagFile = "flags";

const storedTypes: Readonly<Record<RowType, string>> = { float32: "F32", float16: "F16", bfloat16: "BF16", int8: "I8" };

export interface Layout {
  readonly precision: RowType;
  readonly segments: readonly number[];
}

export interface ShardPlace {
  readonly file: string;
  readonly rows: number;
}

interface ShardShape {
  readonly header: Uint8Array;
  readonly losses: number;
  readonly scales: number;
  readonly features: number;
  readonly bytes: number;
}

/** Header and offsets of a shard; what needs alignment comes first. */
export function shardShape({ precision, segments }: Layout, rows: number): ShardShape {
  const [width, modules] = [segments[segments.length - 1], segments.length - 1];
  const scaled = precision === "int8" ? [{ name: "scales", dtype: "F32", shape: [rows, modules] }] : [];
  const header = safetensorsHeader([
    { name: "losses", dtype: "F32", shape: [rows] },
    ...scaled,
    { name: "features", dtype: storedTypes[precision], shape: [rows, width] },
  ]);
  const losses = header.length;
  const scales = losses + rows * 4;
  const features = scales + (precision === "int8" ? rows * modules * 4 : 0);
  return { header, losses, scales, features, bytes: features + rows * width * featureBytes[precision] };
}

export function shardsOf(rows: number, rowsPerShard: number, first: number): ShardPlace[] {
  return Array.from({ length: Math.ceil(rows / rowsPerShard) }, (_, i) => ({
    file: `features-${String(first + i).padStart(5, "0")}.safetensors`,
    rows: Math.min(rowsPerShard, rows - i * rowsPerShard),
  }));
}

/** The store as the addon takes it. */
export function nativeStore(directory: string, layout: Layout, shards: readonly ShardPlace[]): NativeStore {
  return {
    type: layout.precision,
    segments: Int32Array.from(layout.segments),
    shards: shards.map(({ file, rows }) => {
      const { features, scales, losses } = shardShape(layout, rows);
      return { file: join(directory, file), rows, features, scales, losses };
    }),
  };
}

/** Refuses a shard that is not as its store says: another size, another header. */
export async function checkShard(directory: string, layout: Layout, { file, rows }: ShardPlace): Promise<void> {
  const path = join(directory, file);
  const { header, bytes } = shardShape(layout, rows);
  await withFile(path, async ({ size, read }) => {
    if (size !== bytes) throw corrupt(path, `expected ${bytes} bytes but found ${size}`);
    if (!(await read(0, header.length)).equals(header))
      throw corrupt(path, "its header is not the one that its store's manifest asks for");
  });
}

/** Makes the shards that are not there whole (sparse: zeros take no room until they are written) and checks the others. */
export async function prepareShards(
  directory: string,
  layout: Layout,
  shards: readonly ShardPlace[],
  flags: Uint8Array,
): Promise<void> {
  let row = 0;
  for (const shard of shards) {
    const path = join(directory, shard.file);
    if (await fileExists(path)) await checkShard(directory, layout, shard);
    else if (flags.subarray(row, row + shard.rows).some((flag) => flag === 1))
      throw corrupt(path, "it is missing, though its rows were written");
    else await makeShard(path, layout, shard.rows);
    row += shard.rows;
  }
}

function makeShard(path: string, layout: Layout, rows: number): Promise<void> {
  const { header, bytes } = shardShape(layout, rows);
  return fillBeside(path, async (handle) => {
    await handle.writeFile(header);
    await handle.truncate(bytes);
  });
}

/** Refuses a disk that cannot take what is still to be written. */
export async function requireSpace(directory: string, bytes: number): Promise<void> {
  const free = await freeBytes(directory);
  const inGiB = (value: number) => `${(value / 2 ** 30).toPrecision(3)} GiB`;
  if (bytes > free)
    throw new AttributionError(
      "memory",
      `The store needs ${inGiB(bytes)} more in ${directory}, but the disk has ${inGiB(free)} left. Free some, or choose a smaller "rank" or "precision"`,
    );
}

export async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory).catch((cause: unknown) => {
    throw unwritable(directory, cause);
  });
  return bavail * bsize;
}

/** The flags of the store's rows; zeros beyond the file's end. */
export async function readFlags(directory: string, rows: number): Promise<Uint8Array> {
  const path = join(directory, flagFile);
  const flags = new Uint8Array(rows);
  if (!(await fileExists(path))) return flags;
  await withFile(path, async ({ size, readInto }) => {
    if (size > rows) throw corrupt(path, `expected a byte for each of ${rows} rows but found ${size}`);
    await readInto(flags.subarray(0, size), 0);
  });
  return flags;
}

/** [row] of the shards, one after the other. */
export async function readLosses(
  directory: string,
  layout: Layout,
  shards: readonly ShardPlace[],
): Promise<Float32Array> {
  const losses = new Float32Array(shards.reduce((sum, { rows }) => sum + rows, 0));
  let row = 0;
  for (const { file, rows } of shards) {
    const part = new Uint8Array(losses.buffer, row * 4, rows * 4);
    await withFile(join(directory, file), ({ readInto }) => readInto(part, shardShape(layout, rows).losses));
    row += rows;
  }
  return losses;
}

export async function writeIds(path: string, ids: readonly string[]): Promise<void> {
  const texts = ids.map((id) => Buffer.from(id));
  const offsets = new Int32Array(ids.length + 1);
  texts.forEach((text, i) => {
    offsets[i + 1] = offsets[i] + text.length;
  });
  const data = new Uint8Array(Buffer.concat(texts));
  await writeSafetensors(path, {
    offsets: { data: offsets, shape: [offsets.length] },
    bytes: { data, shape: [data.length] },
  });
}

export async function readIds(path: string, rows: number): Promise<string[]> {
  const { offsets, bytes } = (await readTensors(path)).tensors;
  if (offsets === undefined || bytes === undefined || offsets.data.length !== rows + 1)
    throw corrupt(path, `expected the ids of ${rows} rows`);
  const buffer = Buffer.from(bytes.data.buffer, bytes.data.byteOffset, bytes.data.byteLength);
  return Array.from({ length: rows }, (_, i) => buffer.toString("utf8", offsets.data[i], offsets.data[i + 1]));
}
