// The tensors of a model directory, whichever container they are in.
import { join } from "node:path";
import { AttributionError, shown } from "../../errors";
import { fileExists, readJsonObject } from "../../storage/files";
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
  await refuseAdapter(directory);
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

/** "unsupported" where a directory holds an adapter (LoRA and the like) without the model that it changes. */
export async function refuseAdapter(directory: string): Promise<void> {
  const path = join(directory, "adapter_config.json");
  if (!(await fileExists(path))) return;
  const base = (await readJsonObject(path))["base_model_name_or_path"];
  throw new AttributionError(
    "unsupported",
    `${directory} holds only an adapter${typeof base === "string" ? ` of ${shown(base)}` : ""}. Merge it into its model first (peft: merge_and_unload, then save_pretrained), and load what that writes`,
  );
}
