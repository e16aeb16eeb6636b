// The tensors of a model directory, whichever container they are in.
import { join } from "node:path";
import { AttributionError } from "../../errors";
import { fileExists } from "../../storage/files";
import type { ListedTensor } from "../../storage/listing";
import { readPytorchBin } from "../../storage/pytorch-bin";
import { readSafetensors } from "../../storage/safetensors";
import { readShards } from "../../storage/shards";

/** Where weights are looked for, in this order, as transformers does. */
const containers: readonly { readonly file: string; readonly read: (path: string) => Promise<ListedTensor[]> }[] = [
  { file: "model.safetensors", read: readSafetensors },
  { file: "model.safetensors.index.json", read: (path) => readShards(path, readSafetensors) },
  { file: "pytorch_model.bin", read: readPytorchBin },
  { file: "pytorch_model.bin.index.json", read: (path) => readShards(path, readPytorchBin) },
];

/** Lists the stored tensors of a model directory; "missing" where it has no weights. */
export async function listCheckpoint(directory: string): Promise<ListedTensor[]> {
  for (const { file, read } of containers) {
    const path = join(directory, file);
    if (await fileExists(path)) return read(path);
  }
  throw new AttributionError(
    "missing",
    `${directory} has no weights; expected one of ${containers.map(({ file }) => file).join(", ")}`,
  );
}
