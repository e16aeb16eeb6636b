// The GGUF fixtures of test/golden/gguf, and copies of them with other metadata or tensors, written anew.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readGguf, type GgufContents, type GgufValue } from "../../lib/storage/gguf";
import type { ListedTensor } from "../../lib/storage/listing";
import { golden } from "./golden-cases";

export const ggufFile = (name: string): string => join(golden, "gguf", `${name}.gguf`);

export interface Changes {
  readonly version?: number;
  /** New values by key; undefined removes the key. */
  readonly keys?: Readonly<Record<string, GgufValue | undefined>>;
  /** New names by tensor; undefined removes the tensor. */
  readonly tensors?: Readonly<Record<string, string | undefined>>;
  /** Tensors that are copied from others, by their new names. */
  readonly copies?: Readonly<Record<string, string>>;
}

/** Writes the fixture `name` with changes to `path`, and gives the path. */
export async function writeChanged(
  path: string,
  name: string,
  { version = 3, keys = {}, tensors = {}, copies = {} }: Changes,
): Promise<string> {
  const [source, contents] = [readFileSync(ggufFile(name)), await readGguf(ggufFile(name))];
  const metadata = Object.entries({ ...Object.fromEntries(contents.metadata), ...keys }).filter(
    (entry): entry is [string, GgufValue] => entry[1] !== undefined,
  );
  const kept = [
    ...renamed(contents, tensors),
    ...Object.entries(copies).map(([fresh, old]) => ({
      ...contents.tensors.find((tensor) => tensor.name === old)!,
      name: fresh,
    })),
  ];
  const described: Buffer[] = [];
  const data: Buffer[] = [];
  let at = 0;
  for (const tensor of kept) {
    described.push(description(tensor, at));
    data.push(padded(source.subarray(tensor.offset, tensor.offset + tensor.bytes)));
    at += data.at(-1)!.length;
  }
  const start = Buffer.concat([
    Buffer.from("GGUF"),
    u32(version),
    u64(kept.length),
    u64(metadata.length),
    ...metadata.map(([key, value]) => Buffer.concat([text(key), coded(value)])),
    ...described,
  ]);
  writeFileSync(path, Buffer.concat([padded(start), ...data]));
  return path;
}

function renamed({ tensors }: GgufContents, names: NonNullable<Changes["tensors"]>): ListedTensor[] {
  return tensors.flatMap((tensor) => {
    const name = tensor.name in names ? names[tensor.name] : tensor.name;
    return name === undefined ? [] : [{ ...tensor, name }];
  });
}

const types: Readonly<Record<string, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  BF16: 30,
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);

function description({ name, shape, dtype }: ListedTensor, offset: number): Buffer {
  return Buffer.concat([
    text(name),
    u32(shape.length),
    ...[...shape].reverse().map(u64),
    u32(types[dtype]),
    u64(offset),
  ]);
}

/** A value behind its type: whole numbers are written in 32 bits. */
function coded(value: GgufValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(8), text(value)]);
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.of(value ? 1 : 0)]);
  if (typeof value === "number")
    return Number.isInteger(value) && value >= 0
      ? Buffer.concat([u32(4), u32(value)])
      : Buffer.concat([u32(6), f32(value)]);
  if (ArrayBuffer.isView(value))
    return Buffer.concat([
      u32(9),
      u32(5),
      u64(value.length),
      Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    ]);
  return Buffer.concat([u32(9), u32(8), u64(value.length), ...value.map(text)]);
}
