// pytorch_model.bin: a zip of one pickle that describes the tensors and one stored member per storage. The pickle is read
// by a machine that can only describe tensors (pickle.ts); the tensors are handed on as places in the file.
import { AttributionError } from "../errors";
import { withFile, type OpenFile } from "./files";
import { corrupt, elementBytes, elementsOf, type ListedTensor } from "./listing";
import { pacer } from "../pacing";
import { unpickleTensors } from "./pickle";
import type { PickledTensor } from "./pickle-machine";
import { memberData, zipMembers, type ZipMember } from "./zip";

const longestPickle = 16 << 20;

/** Lists the tensors of a file that torch.save wrote; "unsupported" where it holds anything but tensors, "corrupt" where it is damaged. */
export async function readPytorchBin(path: string): Promise<ListedTensor[]> {
  return withFile(path, async (file) => {
    await requireZip(file);
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

async function requireZip(file: OpenFile): Promise<void> {
  const start = file.size >= 4 ? (await file.read(0, 4)).toString("latin1") : "";
  if (start === "PK\x03\x04") return;
  if (["\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"].includes(start.slice(0, 2))) {
    throw new AttributionError(
      "unsupported",
      `${file.path} is in PyTorch's format of before 1.6. Load it in Python and save it again, best with safetensors`,
    );
  }
  throw corrupt(file.path, "is no archive as torch.save writes it");
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
    const { key, dtype } = tensor.storage;
    const member = members.get(`${root}data/${key}`);
    if (member === undefined) throw corrupt(file.path, `has no storage for "${name}"`);
    const start = starts.get(key) ?? (await memberData(file, member));
    starts.set(key, start);
    listed.push({ name, dtype, shape: tensor.shape, file: file.path, ...rangeOf(file, name, tensor, start, member) });
    await pace();
  }
  return listed;
}

function rangeOf(
  file: OpenFile,
  name: string,
  tensor: PickledTensor,
  start: number,
  member: ZipMember,
): { offset: number; bytes: number } {
  const size = elementBytes.get(tensor.storage.dtype) as number;
  const elements = elementsOf(tensor.shape);
  if (
    elements === undefined ||
    tensor.storage.elements * size > member.bytes ||
    tensor.offset + elements > tensor.storage.elements
  ) {
    throw corrupt(file.path, `"${name}" ([${tensor.shape.join(", ")}]) goes beyond its storage`);
  }
  if (!isContiguous(tensor)) {
    throw new AttributionError(
      "unsupported",
      `${file.path}: "${name}" is stored with strides [${tensor.strides.join(", ")}]. Save it contiguously, best with safetensors`,
    );
  }
  return { offset: start + tensor.offset * size, bytes: elements * size };
}

/** Row-major without gaps; the stride of a size of one does not matter. */
function isContiguous({ shape, strides }: PickledTensor): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return shape.includes(0);
    expected *= shape[i];
  }
  return true;
}
