// Where the members of an uncompressed zip archive lie. Nothing is inflated: torch.save stores its members as they are.
import { AttributionError } from "../errors";
import type { OpenFile } from "./files";
import { corrupt } from "./listing";
import { pacer } from "../pacing";

export interface ZipMember {
  readonly name: string;
  /** First byte of the local header; `memberData` finds the data behind it. */
  readonly header: number;
  readonly bytes: number;
}

interface Directory {
  readonly offset: number;
  readonly bytes: number;
  readonly members: number;
}

const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locator64Signature = 0x07064b50;
const memberSignature = 0x02014b50;
const localSignature = 0x04034b50;
const [endBytes, memberBytes, localBytes] = [22, 46, 30];
const longestComment = 0xffff;
const largestDirectory = 64 << 20;
const saturated32 = 0xffffffff;

/** Lists the members by name; refuses compressed and encrypted ones, and names given twice. */
export async function zipMembers(file: OpenFile): Promise<Map<string, ZipMember>> {
  const directory = await findDirectory(file);
  const bytes = await file.read(directory.offset, directory.bytes);
  const members = new Map<string, ZipMember>();
  const pace = pacer();
  let at = 0;
  for (let i = 0; i < directory.members; i++) {
    if (at + memberBytes > bytes.length || bytes.readUInt32LE(at) !== memberSignature)
      throw corrupt(file.path, "its archive directory is damaged");
    const length =
      memberBytes + bytes.readUInt16LE(at + 28) + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
    if (at + length > bytes.length) throw corrupt(file.path, "its archive directory is damaged");
    const member = memberOf(file, bytes.subarray(at, at + length));
    if (members.has(member.name)) throw corrupt(file.path, `its archive has two members "${member.name}"`);
    members.set(member.name, member);
    at += length;
    await pace();
  }
  return members;
}

/** Offset of the member's first byte in the file. */
export async function memberData(file: OpenFile, member: ZipMember): Promise<number> {
  const local = await file.read(member.header, localBytes);
  if (local.readUInt32LE() !== localSignature)
    throw corrupt(file.path, `its archive has no member at byte ${member.header}`);
  const start = member.header + localBytes + local.readUInt16LE(26) + local.readUInt16LE(28);
  if (start + member.bytes > file.size)
    throw corrupt(file.path, `its archive member "${member.name}" goes beyond the end`);
  return start;
}

function memberOf(file: OpenFile, entry: Buffer): ZipMember {
  const nameEnd = memberBytes + entry.readUInt16LE(28);
  const name = entry.toString("utf8", memberBytes, nameEnd);
  const [flags, method] = [entry.readUInt16LE(8), entry.readUInt16LE(10)];
  if (method !== 0 || (flags & 1) !== 0) {
    throw new AttributionError(
      "unsupported",
      `${file.path}: its archive member "${name.slice(0, 80)}" is compressed or encrypted; torch.save stores members as they are`,
    );
  }
  const sizes = [entry.readUInt32LE(24), entry.readUInt32LE(20), entry.readUInt32LE(42)];
  widen(file, entry.subarray(nameEnd, nameEnd + entry.readUInt16LE(30)), sizes);
  const [bytes, stored, header] = sizes as [number, number, number];
  if (bytes !== stored) throw corrupt(file.path, `its archive member "${name.slice(0, 80)}" has two sizes`);
  if (header + localBytes + bytes > file.size)
    throw corrupt(file.path, `its archive member "${name.slice(0, 80)}" goes beyond the end`);
  return { name, header, bytes };
}

/** Replaces saturated 32-bit sizes by those of the zip64 extra field (id 1), in order. */
function widen(file: OpenFile, extra: Buffer, sizes: number[]): void {
  let at = 0;
  while (at + 4 <= extra.length) {
    const [id, length] = [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    if (id !== 1) {
      at += 4 + length;
      continue;
    }
    let from = at + 4;
    for (let i = 0; i < sizes.length; i++) {
      if (sizes[i] !== saturated32) continue;
      if (from + 8 > Math.min(extra.length, at + 4 + length))
        throw corrupt(file.path, "its archive directory is damaged");
      sizes[i] = wide(file, extra, from);
      from += 8;
    }
    return;
  }
}

function wide(file: OpenFile, bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(value)) throw corrupt(file.path, "its archive directory has a size beyond all files");
  return value;
}

async function findDirectory(file: OpenFile): Promise<Directory> {
  const length = Math.min(file.size, endBytes + longestComment);
  const tail = await file.read(file.size - length, length);
  for (let at = length - endBytes; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== endSignature || at + endBytes + tail.readUInt16LE(at + 20) !== length) continue;
    const narrow = {
      members: tail.readUInt16LE(at + 10),
      bytes: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    };
    const isWide = narrow.members === 0xffff || narrow.bytes === saturated32 || narrow.offset === saturated32;
    return checked(file, isWide ? await wideDirectory(file, file.size - length + at) : narrow);
  }
  throw corrupt(file.path, "its archive has no directory at the end");
}

async function wideDirectory(file: OpenFile, end: number): Promise<Directory> {
  if (end < 20) throw corrupt(file.path, "its archive has no zip64 directory");
  const locator = await file.read(end - 20, 20);
  if (locator.readUInt32LE() !== locator64Signature) throw corrupt(file.path, "its archive has no zip64 directory");
  const record = await file.read(wide(file, locator, 8), 56);
  if (record.readUInt32LE() !== end64Signature) throw corrupt(file.path, "its archive has no zip64 directory");
  return { members: wide(file, record, 32), bytes: wide(file, record, 40), offset: wide(file, record, 48) };
}

function checked(file: OpenFile, directory: Directory): Directory {
  if (directory.offset + directory.bytes > file.size)
    throw corrupt(file.path, "its archive directory goes beyond the end");
  if (directory.bytes > largestDirectory || directory.members * memberBytes > directory.bytes) {
    throw corrupt(file.path, `its archive claims ${directory.members} members in ${directory.bytes} bytes`);
  }
  return directory;
}
