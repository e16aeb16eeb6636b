// Makes the files that the storage tests read, hostile ones included: nothing of them is kept in the repository.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder for one test file, removed after its tests. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "attribution-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

let written = 0;

export function fileOf(directory: string, bytes: Uint8Array, name = `file-${written++}`): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

/** A safetensors file with any header text and as many data bytes. */
export function safetensorsBytes(header: unknown, data: number | Buffer, length?: bigint): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([prefix, json, typeof data === "number" ? Buffer.alloc(data) : data]);
}

export interface Member {
  readonly name: string;
  readonly data: Buffer;
  readonly method?: number;
  readonly size?: number;
}

/** An archive of stored members, as torch.save writes it. With `wide`, its sizes are in zip64 fields. */
export function zipBytes(
  members: readonly Member[],
  { wide = false, count }: { wide?: boolean; count?: number } = {},
): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data, method = 0, size = data.length } of members) {
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    parts.push(local, Buffer.from(name), data);
    directory.push(entry(name, method, size, at, wide));
    at += 30 + Buffer.byteLength(name) + data.length;
  }
  const entries = Buffer.concat(directory);
  return Buffer.concat([...parts, entries, end(count ?? members.length, entries.length, at, wide)]);
}

function entry(name: string, method: number, size: number, at: number, wide: boolean): Buffer {
  const head = Buffer.alloc(46);
  head.writeUInt32LE(0x02014b50);
  head.writeUInt16LE(method, 10);
  for (const place of [20, 24]) head.writeUInt32LE(wide ? 0xffffffff : size, place);
  head.writeUInt32LE(wide ? 0xffffffff : at, 42);
  head.writeUInt16LE(Buffer.byteLength(name), 28);
  if (!wide) return Buffer.concat([head, Buffer.from(name)]);
  const extra = Buffer.alloc(28);
  extra.writeUInt16LE(1);
  extra.writeUInt16LE(24, 2);
  [size, size, at].forEach((value, i) => extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i));
  head.writeUInt16LE(extra.length, 30);
  return Buffer.concat([head, Buffer.from(name), extra]);
}

function end(count: number, bytes: number, at: number, wide: boolean): Buffer {
  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50);
  last.writeUInt16LE(wide ? 0xffff : count, 10);
  last.writeUInt32LE(wide ? 0xffffffff : bytes, 12);
  last.writeUInt32LE(wide ? 0xffffffff : at, 16);
  if (!wide) return last;
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50);
  [count, bytes, at].forEach((value, i) => record.writeBigUInt64LE(BigInt(value), 32 + 8 * i));
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50);
  locator.writeBigUInt64LE(BigInt(at + bytes), 8);
  return Buffer.concat([record, locator, last]);
}

/** Pieces of a pickle of protocol 2. */
export const pickle = {
  global: (name: string): Buffer => {
    const dot = name.lastIndexOf(".");
    return Buffer.from(`c${name.slice(0, dot)}\n${name.slice(dot + 1)}\n`);
  },
  text: (value: string): Buffer => {
    const head = Buffer.alloc(5);
    head.write("X");
    head.writeUInt32LE(Buffer.byteLength(value), 1);
    return Buffer.concat([head, Buffer.from(value)]);
  },
  number: (value: number): Buffer => {
    const bytes = Buffer.alloc(5);
    bytes.write("J");
    bytes.writeInt32LE(value, 1);
    return bytes;
  },
  tuple: (...items: Buffer[]): Buffer => Buffer.concat([Buffer.from("("), ...items, Buffer.from("t")]),
  call: (name: string, ...values: Buffer[]): Buffer =>
    Buffer.concat([pickle.global(name), pickle.tuple(...values), Buffer.from("R")]),
  dict: (entries: Readonly<Record<string, Buffer>>): Buffer =>
    Buffer.concat([
      Buffer.from("}("),
      ...Object.entries(entries).flatMap(([key, value]) => [pickle.text(key), value]),
      Buffer.from("u"),
    ]),
  whole: (value: Buffer): Buffer => Buffer.concat([Buffer.from([0x80, 2]), value, Buffer.from(".")]),
};

export interface StoredFields {
  readonly type?: string;
  readonly key?: string;
  readonly elements?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
}

/** The call that rebuilds a tensor of a storage. */
export function pickledTensor({
  type = "torch.FloatStorage",
  key = "0",
  elements = 6,
  offset = 0,
  shape = [2, 3],
  strides = [3, 1],
}: StoredFields = {}): Buffer {
  const id = pickle.tuple(
    pickle.text("storage"),
    pickle.global(type),
    pickle.text(key),
    pickle.text("cpu"),
    pickle.number(elements),
  );
  const sizes = (values: readonly number[]) => pickle.tuple(...values.map(pickle.number));
  return pickle.call(
    "torch._utils._rebuild_tensor_v2",
    Buffer.concat([id, Buffer.from("Q")]),
    pickle.number(offset),
    sizes(shape),
    sizes(strides),
    Buffer.from([0x89]),
    pickle.call("collections.OrderedDict"),
  );
}

/** A pytorch_model.bin whose pickle is `value`, with one storage of 24 bytes. */
export function binBytes(value: Buffer, storage = Buffer.alloc(24), wide = false): Buffer {
  return zipBytes(
    [
      { name: "archive/data.pkl", data: pickle.whole(value) },
      { name: "archive/byteorder", data: Buffer.from("little") },
      { name: "archive/data/0", data: storage },
    ],
    { wide },
  );
}
