// The GGUF container, versions 2 and 3: metadata by key, then the tensors' names, sizes, types and places. The header is
// read piece by piece with every count and length bounded before anything is made of it; tensors stay in the file.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { AttributionError } from "../errors";
import { byteReader, type ByteReader } from "./byte-reader";
import { withFile } from "./files";
import { corrupt, elementsOf, type ListedTensor } from "./listing";

type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;
export type GgufValue = number | boolean | string | readonly string[] | NumberArray;

export interface GgufContents {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly ListedTensor[];
}

const mostKeys = 65_536;
const mostTensors = 65_536;
const mostItems = 1 << 24;
const longestKey = 1 << 12;
const longestText = 1 << 20;
/** Over all keys: the largest vocabularies have some 260,000 tokens and 500,000 merges, of some 10 MB. */
const mostTexts = 1 << 22;
const mostMetadataBytes = 1 << 28;
const [textType, arrayType] = [8, 9];

interface Layout {
  readonly dtype: string;
  readonly elements: number;
  readonly bytes: number;
}
const plain = (dtype: string, bytes: number): Layout => ({ dtype, elements: 1, bytes });
const block = (dtype: string, elements: number, bytes: number): Layout => ({ dtype, elements, bytes });

/** ggml's type numbers: how many elements share a block of how many bytes. */
const layouts: ReadonlyMap<number, Layout> = new Map([
  [0, plain("F32", 4)],
  [1, plain("F16", 2)],
  [30, plain("BF16", 2)],
  [28, plain("F64", 8)],
  [24, plain("I8", 1)],
  [25, plain("I16", 2)],
  [26, plain("I32", 4)],
  [27, plain("I64", 8)],
  [2, block("Q4_0", 32, 18)],
  [3, block("Q4_1", 32, 20)],
  [6, block("Q5_0", 32, 22)],
  [7, block("Q5_1", 32, 24)],
  [8, block("Q8_0", 32, 34)],
  [12, block("Q4_K", 256, 144)],
  [13, block("Q5_K", 256, 176)],
  [14, block("Q6_K", 256, 210)],
]);

const scalars: ReadonlyMap<
  number,
  { readonly bytes: number; readonly read: (bytes: Buffer) => number | boolean | bigint }
> = new Map([
  [0, { bytes: 1, read: (b) => b.readUInt8() }],
  [1, { bytes: 1, read: (b) => b.readInt8() }],
  [2, { bytes: 2, read: (b) => b.readUInt16LE() }],
  [3, { bytes: 2, read: (b) => b.readInt16LE() }],
  [4, { bytes: 4, read: (b) => b.readUInt32LE() }],
  [5, { bytes: 4, read: (b) => b.readInt32LE() }],
  [6, { bytes: 4, read: (b) => b.readFloatLE() }],
  [7, { bytes: 1, read: (b) => b.readUInt8() !== 0 }],
  [10, { bytes: 8, read: (b) => b.readBigUInt64LE() }],
  [11, { bytes: 8, read: (b) => b.readBigInt64LE() }],
  [12, { bytes: 8, read: (b) => b.readDoubleLE() }],
]);

const arrays: ReadonlyMap<number, { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): NumberArray }> =
  new Map<number, never>([
    [0, Uint8Array],
    [1, Int8Array],
    [2, Uint16Array],
    [3, Int16Array],
    [4, Uint32Array],
    [5, Int32Array],
    [6, Float32Array],
    [7, Uint8Array],
    [10, BigUint64Array],
    [11, BigInt64Array],
    [12, Float64Array],
  ] as unknown as [number, never][]);

/** Reads the header of a GGUF file; "corrupt" for counts, lengths or places that cannot be, "unsupported" for other versions and types. */
export async function readGguf(path: string): Promise<GgufContents> {
  return withFile(path, async (file) => {
    const reader = byteReader(file);
    await requireVersion(reader);
    const [tensorCount, keyCount] = [await reader.count("tensors", mostTensors), await reader.count("keys", mostKeys)];
    const metadata = new Map<string, GgufValue>();
    let texts = 0;
    const start = reader.position();
    for (let i = 0; i < keyCount; i++) {
      const key = await reader.text("a key", longestKey);
      if (metadata.has(key)) throw corrupt(path, `has the key "${key}" twice`);
      const value = await readValue(reader, key, { texts: mostTexts - texts, end: start + mostMetadataBytes });
      if (Array.isArray(value)) texts += value.length;
      metadata.set(key, value);
    }
    const tensors: ListedTensor[] = [];
    for (let i = 0; i < tensorCount; i++) tensors.push(await readTensor(reader, path));
    const alignment = alignmentOf(path, metadata);
    const data = Math.ceil(reader.position() / alignment) * alignment;
    const placed = tensors.map((tensor) => ({ ...tensor, offset: data + tensor.offset }));
    requireApart(path, file.size, alignment, placed);
    return { metadata, tensors: placed };
  });
}

async function requireVersion(reader: ByteReader): Promise<void> {
  const start = await reader.bytes(8);
  if (start.toString("latin1", 0, 4) !== "GGUF") throw corrupt(reader.path, "does not begin with GGUF");
  const version = start.readUInt32LE(4);
  if (version === 2 || version === 3) return;
  const words = start.readUInt32BE(4) <= 3 ? "is big-endian" : `has version ${version}; versions 2 and 3 are read`;
  throw new AttributionError("unsupported", `${reader.path} ${words}`);
}

/** What the metadata may still take: texts in lists, and the byte before which they must end. */
interface Room {
  readonly texts: number;
  readonly end: number;
}

function tooMuch(reader: ByteReader, key: string): AttributionError {
  return new AttributionError(
    "unsupported",
    `${reader.path}: with "${key}" its metadata has more than ${mostTexts} texts or ${mostMetadataBytes} bytes, which no model needs`,
  );
}

async function readValue(reader: ByteReader, key: string, room: Room): Promise<GgufValue> {
  if (reader.position() > room.end) throw tooMuch(reader, key);
  const type = (await reader.bytes(4)).readUInt32LE();
  if (type === textType) return reader.text(`"${key}"`, longestText);
  if (type === arrayType) return readArray(reader, key, room);
  const scalar = scalars.get(type);
  if (scalar === undefined) throw corrupt(reader.path, `"${key}" has the type ${type}, which is none`);
  const value = scalar.read(await reader.bytes(scalar.bytes));
  if (typeof value !== "bigint") return value;
  if (!Number.isSafeInteger(Number(value)))
    throw corrupt(reader.path, `"${key}" is ${value}, beyond what can be counted`);
  return Number(value);
}

async function readArray(reader: ByteReader, key: string, room: Room): Promise<GgufValue> {
  const type = (await reader.bytes(4)).readUInt32LE();
  const count = await reader.count(`items of "${key}"`, mostItems);
  if (type === textType) {
    reader.requireLeft(8 * count);
    if (count > room.texts) throw tooMuch(reader, key);
    const texts: string[] = [];
    for (let i = 0; i < count; i++) {
      texts.push(reader.textAtHand(longestText) ?? (await reader.text(`"${key}"`, longestText)));
      if (reader.position() > room.end) throw tooMuch(reader, key);
    }
    return texts;
  }
  const array = arrays.get(type);
  if (array === undefined)
    throw new AttributionError("unsupported", `${reader.path}: "${key}" is an array of the type ${type}`);
  reader.requireLeft(count * array.BYTES_PER_ELEMENT);
  if (reader.position() + count * array.BYTES_PER_ELEMENT > room.end) throw tooMuch(reader, key);
  const items = new ArrayBuffer(count * array.BYTES_PER_ELEMENT);
  await reader.into(new Uint8Array(items));
  return new array(items);
}

/** With its offset still from the start of the data. */
async function readTensor(reader: ByteReader, path: string): Promise<ListedTensor> {
  const name = await reader.text("a tensor's name", longestKey);
  const dimensions = (await reader.bytes(4)).readUInt32LE();
  if (dimensions > 4) throw corrupt(path, `"${name}" has ${dimensions} dimensions`);
  const sizes: number[] = [];
  for (let i = 0; i < dimensions; i++) sizes.push(await reader.count(`"${name}"`, Number.MAX_SAFE_INTEGER));
  const type = (await reader.bytes(4)).readUInt32LE();
  const offset = await reader.count(`bytes before "${name}"`, Number.MAX_SAFE_INTEGER);
  const layout = layouts.get(type);
  if (layout === undefined)
    throw new AttributionError(
      "unsupported",
      `${path}: "${name}" has the ggml type ${type}; read are ${[...layouts.values()].map(({ dtype }) => dtype).join(", ")}`,
    );
  const elements = elementsOf(sizes);
  if (elements === undefined || elements === 0)
    throw corrupt(path, `"${name}" has the sizes [${sizes.join(", ")}], which no tensor has`);
  if ((sizes[0] ?? 1) % layout.elements !== 0)
    throw corrupt(
      path,
      `rows of "${name}" are ${sizes[0]} long, no multiple of the ${layout.elements} of ${layout.dtype}`,
    );
  // GGUF stores the innermost size first.
  return {
    name,
    dtype: layout.dtype,
    shape: sizes.reverse(),
    file: path,
    offset,
    bytes: (elements / layout.elements) * layout.bytes,
  };
}

function alignmentOf(path: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get("general.alignment") ?? 32;
  if (typeof value === "number" && Number.isInteger(value) && value >= 8 && value <= 1 << 20 && value % 8 === 0)
    return value;
  throw corrupt(path, `has the alignment ${typeof value === "number" ? value : "of no number"}`);
}

/** Tensors lie within the file, aligned, under different names and without overlap. */
function requireApart(path: string, size: number, alignment: number, tensors: readonly ListedTensor[]): void {
  const names = new Set<string>();
  for (const { name, offset, bytes } of tensors) {
    if (names.has(name)) throw corrupt(path, `names "${name}" twice`);
    names.add(name);
    if (offset % alignment !== 0) throw corrupt(path, `"${name}" is not aligned to ${alignment} bytes`);
    if (offset + bytes > size)
      throw corrupt(path, `"${name}" ends at byte ${offset + bytes}, but the file has ${size}`);
  }
  const begins = Float64Array.from(tensors, (tensor) => tensor.offset).sort();
  const ends = Float64Array.from(tensors, (tensor) => tensor.offset + tensor.bytes).sort();
  const overlap = begins.findIndex((begin, i) => i > 0 && begin < ends[i - 1]);
  if (overlap > 0)
    throw corrupt(path, `"${tensors.find(({ offset }) => offset === begins[overlap])?.name}" overlaps another tensor`);
}
