// The safetensors format: eight bytes with the header's length, a JSON header, then the tensors without gaps.
// Reading here means reading the header; the native core maps the rest. See tensors.ts for arrays in memory.
import { corrupt, elementBytes, elementsOf, shapeOf, type ListedTensor } from "./listing";
import { AttributionError } from "../errors";
import { withFile, type OpenFile } from "./files";
import { jsonEntries, parseEntry, type JsonEntry } from "./json-entries";
import { pacer } from "../pacing";

/** The reference implementation's limit. */
const longestHeader = 100_000_000;
const longestMetadata = 1 << 20;
const prefixBytes = 8;

export interface SafetensorsContents {
  readonly tensors: ListedTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Lists the tensors of a safetensors file; "corrupt" unless they fill it exactly, each with the bytes its shape needs. */
export async function readSafetensors(path: string): Promise<ListedTensor[]> {
  return (await readSafetensorsContents(path)).tensors;
}

/** As `readSafetensors`, with the file's free metadata. */
export async function readSafetensorsContents(path: string): Promise<SafetensorsContents> {
  return withFile(path, async (file) => {
    const header = await readHeader(file);
    const start = prefixBytes + header.length;
    const pace = pacer();
    const tensors: ListedTensor[] = [];
    let metadata: Readonly<Record<string, string>> = {};
    for (const entry of await jsonEntries(path, header)) {
      if (entry.name === "__metadata__") metadata = metadataOf(path, entry);
      else tensors.push(tensorOf(path, entry, start));
      await pace();
    }
    requireTiling(file, tensors, start);
    return { tensors, metadata };
  });
}

async function readHeader(file: OpenFile): Promise<Buffer> {
  if (file.size < prefixBytes)
    throw corrupt(file.path, `expected at least ${prefixBytes} bytes but found ${file.size}`);
  const length = (await file.read(0, prefixBytes)).readBigUInt64LE();
  if (length > BigInt(longestHeader))
    throw corrupt(file.path, `its header claims ${length} bytes; at most ${longestHeader} are allowed`);
  if (prefixBytes + Number(length) > file.size)
    throw corrupt(file.path, `its header claims ${length} bytes but the file has ${file.size}`);
  return file.read(prefixBytes, Number(length));
}

function metadataOf(path: string, entry: JsonEntry): Readonly<Record<string, string>> {
  const value = parseEntry(path, entry, longestMetadata);
  const isText =
    typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");
  if (!isText) throw corrupt(path, "expected its metadata to be texts by name");
  return value as Record<string, string>;
}

function tensorOf(path: string, entry: JsonEntry, start: number): ListedTensor {
  const { name } = entry;
  const value = parseEntry(path, entry);
  if (typeof value !== "object" || value === null)
    throw corrupt(path, `expected the entry "${name}" to describe a tensor`);
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  if (typeof dtype !== "string") throw corrupt(path, `"${name}" has no type`);
  const size = elementBytes.get(dtype);
  if (size === undefined)
    throw new AttributionError(
      "unsupported",
      `${path}: "${name}" has the type "${dtype.slice(0, 40)}", which this library cannot read`,
    );
  const sizes = shapeOf(path, name, shape);
  if (!Array.isArray(offsets) || offsets.length !== 2) throw corrupt(path, `expected two data offsets for "${name}"`);
  const [begin, end] = shapeOf(path, name, offsets) as [number, number];
  const elements = elementsOf(sizes);
  if (elements === undefined || end - begin !== elements * size) {
    throw corrupt(path, `"${name}" (${dtype}, [${sizes.join(", ")}]) does not fit its bytes ${begin} to ${end}`);
  }
  return { name, dtype, shape: sizes, file: path, offset: start + begin, bytes: end - begin };
}

/** The tensors must cover the data exactly once: sorted, each begin is the end before it, the last end the file's. */
function requireTiling(file: OpenFile, tensors: readonly ListedTensor[], start: number): void {
  const begins = Float64Array.from(tensors, (tensor) => tensor.offset).sort();
  const ends = Float64Array.from(tensors, (tensor) => tensor.offset + tensor.bytes).sort();
  for (let i = 0; i <= tensors.length; i++) {
    const covered = i === 0 ? start : ends[i - 1];
    const next = i === tensors.length ? file.size : begins[i];
    if (next === covered) continue;
    const name = tensors.find((tensor) => tensor.offset === next)?.name;
    if (i === tensors.length) {
      throw corrupt(
        file.path,
        `its tensors end at byte ${covered} but the file ${next < covered ? "is truncated" : "goes on"} to byte ${next}`,
      );
    }
    throw corrupt(
      file.path,
      next < covered
        ? `"${name}" overlaps another tensor`
        : `bytes ${covered} to ${next} before "${name}" belong to no tensor`,
    );
  }
}

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** The bytes before the data: length prefix and header, padded so that the data start at a multiple of eight. */
export function safetensorsHeader(
  entries: readonly HeaderEntry[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = metadata === undefined ? [] : [["__metadata__", metadata]];
  let offset = 0;
  for (const { name, dtype, shape } of entries) {
    const size = elementBytes.get(dtype);
    const elements = elementsOf(shape);
    if (size === undefined || elements === undefined)
      throw new AttributionError("invalid", `Cannot store "${name}" as ${dtype} [${shape.join(", ")}]`);
    header.push([name, { dtype, shape, data_offsets: [offset, offset + elements * size] }]);
    offset += elements * size;
  }
  const json = Buffer.from(
    `{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`,
  );
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(prefixBytes + padded, 0x20);
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, prefixBytes);
  return bytes;
}
