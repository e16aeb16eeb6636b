// The tensors of a model directory, whichever container they are in.
import { join } from "node:path";
import { AttributionError } from "../../errors";
import { fileExists } from "../../storage/files";
import type { ListedTensor } from "../../storage/listing";
import { readPytorchBin } from "../../storage/pytorch-bin";
import { readSafetensors } from "../../storage/safetensors";
import { readShards } from "../../storage/shards";

/** Where weights are looked for, in this order, as transformers does. */
export const containers: readonly {
  readonly file: string;
  readonly read: (path: string) => Promise<ListedTensor[]>;
}[] = [
  { file: "model.safetensors", read: readSafetensors },
  { file: "model.safetensors.index.json", read: (path) => readShards(path, readSafetensors) },
  { file: "pytorch_model.bin", read: readPytorchBin },
  { file: "pytorch_model.bin.index.json", read: (path) => readShards(path, readPytorchBin) },
];

/** Lists the stored tensors of a model directory; "missing" where it has no weights. */
export async function listCheckpoint(directory: string): Promise<ListedTensor[]> {
  for (const { file, read } of containers) {
    const path = join(directory, file);
    if (await fileExists(path)) return unwrapped(await read(path));
  }
  throw new AttributionError(
    "missing",
    `${directory} has no weights; expected one of ${containers.map(({ file }) => file).join(", ")}`,
  );
}

/** What DataParallel and torch.compile put before every name of the model that they wrap. */
const wrappers = ["module.", "_orig_mod."] as const;

/** The tensors under their own names, where a wrapper's stands before all of them. */
function unwrapped(tensors: readonly ListedTensor[]): ListedTensor[] {
  const wrapper = wrappers.find((one) => tensors.length > 0 && tensors.every(({ name }) => name.startsWith(one)));
  if (wrapper === undefined) return [...tensors];
  return unwrapped(tensors.map((tensor) => ({ ...tensor, name: tensor.name.slice(wrapper.length) })));
}

/** Whether a directory holds a model's weights. */
export async function hasWeights(directory: string): Promise<boolean> {
  for (const { file } of containers) if (await fileExists(join(directory, file))) return true;
  return false;
}
