// What torch.save wrote before PyTorch 1.6: a magic number, a version, facts of the machine, the pickle that describes the
// tensors, the keys of its storages, one pickle after the other; then for each key its number of elements and its elements.
import { AttributionError } from "../errors";
import type { OpenFile } from "./files";
import { corrupt, elementBytes, type ListedTensor } from "./listing";
import { pacer } from "../pacing";
import { tensorsOf, unpickle } from "./pickle";
import { isKind, type Pickled, type PickledTensor } from "./pickle-machine";
import { placedTensor, type StoredStorage } from "./pytorch-tensor";

const magic = Number(0x1950a86a20f9469cfc6cn);
const version = 1001;
const longestHead = 16 << 20;

/** Lists the tensors of a file that is no archive; "unsupported" where PyTorch may read it and this library does not. */
export async function readLegacyBin(file: OpenFile): Promise<ListedTensor[]> {
  const head = await file.read(0, Math.min(file.size, longestHead));
  refuseOthers(file, head);
  let at = 0;
  const next = async (): Promise<Pickled> => {
    const { value, end } = await unpickle(file.path, head, at);
    at = end;
    return value;
  };
  if ((await next()) !== magic || (await next()) !== version)
    throw corrupt(file.path, "does not begin as torch.save begins a file");
  requireLittleEndian(file, await next());
  const tensors = await tensorsOf(file.path, await next());
  const keys = await next();
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string"))
    throw corrupt(file.path, "has no list of its storages");
  return place(file, tensors, await storagesOf(file, tensors, keys, at));
}

function refuseOthers(file: OpenFile, head: Buffer): void {
  if (head.toString("latin1", 257, 262) === "ustar")
    throw new AttributionError(
      "unsupported",
      `${file.path} is in PyTorch's format of before 0.2. Load it in Python and save it again, best with safetensors`,
    );
  if (head[0] !== 0x80 || head[1] < 2 || head[1] > 5)
    throw corrupt(file.path, "is no archive and no pickle as torch.save writes them");
}

function requireLittleEndian(file: OpenFile, facts: Pickled): void {
  if (!isKind(facts, "dict")) throw corrupt(file.path, "does not say on which machine it was written");
  if (facts.entries.get("little_endian") !== true)
    throw new AttributionError("unsupported", `${file.path} was written on a big-endian machine`);
}

/** The places of the storages, one after the other from a byte on. */
async function storagesOf(
  file: OpenFile,
  tensors: ReadonlyMap<string, PickledTensor>,
  keys: readonly string[],
  from: number,
): Promise<ReadonlyMap<string, StoredStorage>> {
  const types = new Map([...tensors.values()].map(({ storage }) => [storage.key, storage.dtype]));
  const storages = new Map<string, StoredStorage>();
  let at = from;
  for (const key of keys) {
    const size = elementBytes.get(types.get(key) ?? "");
    if (size === undefined)
      throw new AttributionError(
        "unsupported",
        `${file.path} holds a storage that belongs to no tensor. Load it in Python and save it with safetensors`,
      );
    if (at + 8 > file.size) throw corrupt(file.path, "ends before its storages");
    const bytes = Number((await file.read(at, 8)).readBigInt64LE()) * size;
    if (!(bytes >= 0) || at + 8 + bytes > file.size) throw corrupt(file.path, "ends within its storages");
    storages.set(key, { start: at + 8, bytes });
    at += 8 + bytes;
  }
  return storages;
}

async function place(
  file: OpenFile,
  tensors: ReadonlyMap<string, PickledTensor>,
  storages: ReadonlyMap<string, StoredStorage>,
): Promise<ListedTensor[]> {
  const pace = pacer();
  const listed: ListedTensor[] = [];
  for (const [name, tensor] of tensors) {
    const stored = storages.get(tensor.storage.key);
    if (stored === undefined) throw corrupt(file.path, `has no storage for "${name}"`);
    listed.push(placedTensor(file.path, name, tensor, stored));
    await pace();
  }
  return listed;
}
