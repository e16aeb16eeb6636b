// A GGUF model in parts, as gguf-split makes them, is the model of the whole file.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { loadModel } from "../../lib/model/load-model";
import { readGguf } from "../../lib/storage/gguf";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { type Changes, ggufFile, writeChanged } from "./gguf-files";

const directory = scratch();
let made = 0;
const count = 3;
const nameOf = (part: number): string => `tiny-0000${part}-of-0000${count}.gguf`;

/** The fixture llama in three parts; `changes` of the keys by part. */
async function parts(changes: Readonly<Record<number, Changes["keys"]>> = {}): Promise<string> {
  const folder = join(directory, `parts-${made++}`);
  mkdirSync(folder);
  const { tensors } = await readGguf(ggufFile("llama"));
  for (let part = 1; part <= count; part++) {
    const others = tensors.filter((_, i) => i % count !== part - 1).map(({ name }) => [name, undefined] as const);
    const keys = { "split.no": part - 1, "split.count": count, "split.tensors.count": tensors.length };
    await writeChanged(join(folder, nameOf(part)), "llama", {
      keys: { ...keys, ...changes[part] },
      tensors: Object.fromEntries(others),
    });
  }
  return folder;
}

test("parts make the model of the whole file", async () => {
  using whole = await loadModel(ggufFile("llama"));
  using model = await loadModel(join(await parts(), nameOf(1)));
  expect(model.hash).toBe(whole.hash);
});

test("a later part names the first, and a folder too", async () => {
  const folder = await parts();
  await expect(loadModel(join(folder, nameOf(2)))).rejects.toMatchObject(refusal("invalid", /first, .*00001-of-00003/));
  await expect(loadModel(folder)).rejects.toMatchObject(refusal("missing", /GGUF file itself: .*00001-of-00003/));
});

test("a part that is not there is named", async () => {
  const folder = await parts();
  rmSync(join(folder, nameOf(3)));
  await expect(loadModel(join(folder, nameOf(1)))).rejects.toMatchObject(
    refusal("missing", /00003-of-00003.*Fetch it/),
  );
});

test.each<[string, Readonly<Record<number, Changes["keys"]>>, RegExp]>([
  ["another place", { 2: { "split.no": 2 } }, /00002-of-00003.*is not part 2 of 3/],
  ["another number of parts", { 3: { "split.count": 2 } }, /00003-of-00003.*is not part 3 of 3/],
  ["fewer tensors than said", { 1: { "split.tensors.count": 99 } }, /but it says 99/],
])("parts with %s are refused as damaged", async (_name, changes, words) => {
  await expect(loadModel(join(await parts(changes), nameOf(1)))).rejects.toMatchObject(refusal("corrupt", words));
});

test("parts that hold a tensor twice are refused", async () => {
  const folder = await parts();
  await writeChanged(join(folder, nameOf(2)), "llama", { keys: { "split.no": 1, "split.count": count } });
  await expect(loadModel(join(folder, nameOf(1)))).rejects.toMatchObject(refusal("corrupt", /twice/));
});
