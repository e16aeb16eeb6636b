// pytorch_model.bin: a zip of one pickle that describes the tensors and one stored member per storage. The pickle is read
// by a machine that can only describe tensors (pickle.ts); the tensors are handed on as places in the file. Files of before
// PyTorch 1.6 are read by pytorch-legacy.ts.
import { AttributionError } from "../errors";
import { withFile, type OpenFile } from "./files";
import { corrupt, type ListedTensor } from "./listing";
import { pacer } from "../pacing";
import { unpickleTensors } from "./pickle";
import type { PickledTensor } from "./pickle-machine";
import { readLegacyBin } from "./pytorch-legacy";
import { placedTensor } from "./pytorch-tensor";
import { memberData, zipMembers, type ZipMember } from "./zip";

const longestPickle = 16 << 20;

/** Lists the tensors of a file that torch.save wrote; "unsupported" where it holds anything but tensors, "corrupt" where it is damaged. */
export async function readPytorchBin(path: string): Promise<ListedTensor[]> {
  return withFile(path, async (file) => {
    if (!(await isZip(file))) return readLegacyBin(file);
    const members = await zipMembers(file);
    const root = rootOf(file, members);
    await requireLittleEndian(file, members.get(`${root}byteorder`));
    const pickle = members.get(`${root}data.pkl`) as ZipMember;
    if (pickle.bytes > longestPickle)
      throw new AttributionError(
        "unsupported",
        `${path}: its pickle has ${pickle.bytes} bytes; at most ${longestPickle} are read. Save its tensors with safetensors`,
      );
    const bytes = await file.read(await memberData(file, pickle), pickle.bytes);
    const tensors = await unpickleTensors(path, bytes);
    return place(file, members, root, tensors);
  });
}

/** Archives are what torch.save writes since 1.6. */
async function isZip(file: OpenFile): Promise<boolean> {
  return file.size >= 4 && (await file.read(0, 4)).toString("latin1") === "PK\x03\x04";
}

function rootOf(file: OpenFile, members: ReadonlyMap<string, ZipMember>): string {
  if ([...members.keys()].some((name) => /^[^/]+\/constants\.pkl$/.test(name)))
    throw new AttributionError(
      "unsupported",
      `${file.path} is a TorchScript program. Save the model's state_dict instead, best with safetensors`,
    );
  const pickles = [...members.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1)
    throw corrupt(file.path, `expected one data.pkl in its archive but found ${pickles.length}`);
  return pickles[0].slice(0, -"data.pkl".length);
}

async function requireLittleEndian(file: OpenFile, member: ZipMember | undefined): Promise<void> {
  if (member === undefined) return;
  const order = await file.read(await memberData(file, member), Math.min(member.bytes, 16));
  if (order.toString("latin1").trim() !== "little")
    throw new AttributionError("unsupported", `${file.path} was written on a big-endian machine`);
}

async function place(
  file: OpenFile,
  members: ReadonlyMap<string, ZipMember>,
  root: string,
  tensors: ReadonlyMap<string, PickledTensor>,
): Promise<ListedTensor[]> {
  const starts = new Map<string, number>();
  const pace = pacer();
  const listed: ListedTensor[] = [];
  for (const [name, tensor] of tensors) {
    const { key } = tensor.storage;
    const member = members.get(`${root}data/${key}`);
    if (member === undefined) throw corrupt(file.path, `has no storage for "${name}"`);
    const start = starts.get(key) ?? (await memberData(file, member));
    starts.set(key, start);
    listed.push(placedTensor(file.path, name, tensor, { start, bytes: member.bytes }));
    await pace();
  }
  return listed;
}
