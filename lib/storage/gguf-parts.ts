// A GGUF model in several files, as llama.cpp's gguf-split makes them: `name-00001-of-00003.gguf` has the metadata, and each file
// has tensors.
import { AttributionError, shown } from "../errors";
import { fileExists } from "./files";
import { readGguf, type GgufContents } from "./gguf";
import { corrupt } from "./listing";

const mostParts = 99_999;

/** The contents of a GGUF file, or of all the parts that the first of them counts. */
export async function readGgufParts(path: string): Promise<GgufContents> {
  const first = await readGguf(path);
  const count = first.metadata.get("split.count") ?? 1;
  if (count === 0 || count === 1) return first;
  const parts = [first, ...(await otherParts(path, first, count))];
  const tensors = parts.flatMap((part) => part.tensors);
  requireWhole(path, first, tensors);
  return { metadata: first.metadata, tensors };
}

async function otherParts(path: string, first: GgufContents, count: unknown): Promise<GgufContents[]> {
  const [, stem, number, total] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(path) ?? [];
  if (typeof count !== "number" || !Number.isInteger(count) || count > mostParts || Number(total) !== count)
    throw new AttributionError(
      "unsupported",
      `${path} has "split.count": ${shown(count)}, which its name does not say. Parts are named like model-00001-of-00003.gguf`,
    );
  const name = (part: number) => `${stem}-${String(part).padStart(5, "0")}-of-${total}.gguf`;
  if (Number(number) !== 1 || (first.metadata.get("split.no") ?? 0) !== 0)
    throw new AttributionError("invalid", `${path} is a later part of a model: give the path of the first, ${name(1)}`);
  const others: GgufContents[] = [];
  for (let part = 2; part <= count; part++) {
    if (!(await fileExists(name(part))))
      throw new AttributionError("missing", `${path} has ${count} parts, but ${name(part)} is not there. Fetch it`);
    const contents = await readGguf(name(part));
    if (contents.metadata.get("split.no") !== part - 1 || contents.metadata.get("split.count") !== count)
      throw corrupt(name(part), `is not part ${part} of ${count}, which its name says`);
    others.push(contents);
  }
  return others;
}

function requireWhole(path: string, first: GgufContents, tensors: GgufContents["tensors"]): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name)) throw corrupt(path, `and its other parts hold "${name}" twice`);
    names.add(name);
  }
  const said = first.metadata.get("split.tensors.count") ?? tensors.length;
  if (said !== tensors.length)
    throw corrupt(path, `and its other parts hold ${tensors.length} tensors, but it says ${shown(said)}`);
}
