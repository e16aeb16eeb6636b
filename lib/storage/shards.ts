// A checkpoint in several files: an index names the file of every tensor. Files are looked for beside the index only.
import { dirname, join } from "node:path";
import { AttributionError } from "../errors";
import { fileExists, withFile } from "./files";
import { jsonEntries, parseEntry, type JsonEntry } from "./json-entries";
import { corrupt, type ListedTensor } from "./listing";

const longestIndex = 64 << 20;

/** Lists the tensors of all files that the index names; every tensor must lie where the index says. */
export async function readShards(
  index: string,
  readFile: (path: string) => Promise<ListedTensor[]>,
): Promise<ListedTensor[]> {
  const places = await readWeightMap(index);
  const tensors = new Map<string, ListedTensor>();
  for (const name of new Set(places.values())) {
    const path = join(dirname(index), name);
    if (!(await fileExists(path)))
      throw new AttributionError("missing", `${index} names the file "${name}", which is not there. Fetch it`);
    for (const tensor of await readFile(path)) {
      if (tensors.has(tensor.name)) throw corrupt(index, `two of its files hold "${tensor.name}"`);
      if (places.get(tensor.name) !== name)
        throw corrupt(index, `"${tensor.name}" lies in "${name}", which it does not say`);
      tensors.set(tensor.name, tensor);
    }
  }
  for (const [tensor, name] of places) {
    if (!tensors.has(tensor)) throw corrupt(index, `"${name}" does not hold "${tensor}"`);
  }
  return [...tensors.values()];
}

/** The names of the files that an index names. */
export async function shardNames(index: string): Promise<readonly string[]> {
  return [...new Set((await readWeightMap(index)).values())];
}

async function readWeightMap(index: string): Promise<Map<string, string>> {
  const bytes = await withFile(index, (file) => {
    if (file.size > longestIndex) throw corrupt(index, `expected at most ${longestIndex} bytes but found ${file.size}`);
    return file.read(0, file.size);
  });
  const map = (await jsonEntries(index, bytes)).find((entry) => entry.name === "weight_map");
  if (map === undefined) throw corrupt(index, 'has no "weight_map"');
  const places = new Map<string, string>();
  for (const entry of await jsonEntries(index, map.value)) places.set(entry.name, fileNameOf(index, entry));
  if (places.size === 0) throw corrupt(index, "names no tensors");
  return places;
}

/** A plain file name: no folder, no drive, no parent. */
function fileNameOf(index: string, entry: JsonEntry): string {
  const name = parseEntry(index, entry);
  if (typeof name !== "string" || !/^[\w][\w.+@=-]*$/.test(name)) {
    throw corrupt(
      index,
      `the file of "${entry.name}" is ${JSON.stringify(name).slice(0, 80)}; expected a file name beside the index`,
    );
  }
  return name;
}
