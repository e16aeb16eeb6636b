import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors } from "../../lib/storage/safetensors";
import { readShards } from "../../lib/storage/shards";
import { fileOf, safetensorsBytes, scratch } from "./bytes";
import { refusal } from "./refusal";

const root = scratch();
const shard = (...names: string[]) =>
  safetensorsBytes(
    Object.fromEntries(names.map((name, i) => [name, { dtype: "F32", shape: [1], data_offsets: [4 * i, 4 * i + 4] }])),
    4 * names.length,
  );
let cases = 0;

function indexOf(map: unknown, files: Readonly<Record<string, Buffer>>): string {
  const directory = join(root, `case-${cases++}`);
  mkdirSync(directory);
  for (const [name, bytes] of Object.entries(files)) fileOf(directory, bytes, name);
  writeFileSync(
    join(directory, "index.json"),
    typeof map === "string" ? map : JSON.stringify({ metadata: {}, weight_map: map }),
  );
  return join(directory, "index.json");
}

test("a sharded checkpoint lists the tensors of all its files", async () => {
  const index = indexOf({ a: "one", b: "two", c: "one" }, { one: shard("a", "c"), two: shard("b") });
  expect((await readShards(index, readSafetensors)).map(({ name }) => name).sort()).toEqual(["a", "b", "c"]);
});

test.each(["../one", "/etc/passwd", "a/b", "a\\b", "..", "", ".hidden", "C:one", "a\u0000b"])(
  "the file name %j in an index is refused",
  async (name) => {
    const index = indexOf({ a: name }, { one: shard("a") });
    await expect(readShards(index, readSafetensors)).rejects.toMatchObject(
      refusal("corrupt", /file name beside the index/),
    );
  },
);

test.each<[string, unknown, "corrupt" | "missing", RegExp]>([
  ["names a file that is not there", { a: "absent" }, "missing", /"absent"/],
  ["names a tensor that its file does not hold", { a: "one", z: "one" }, "corrupt", /does not hold "z"/],
  ["leaves out a tensor of its file", { a: "two" }, "corrupt", /"b" lies in "two"/],
  ["names a tensor twice", '{"weight_map":{"a":"one","a":"two"}}', "corrupt", /names "a" twice/],
  ["has no map", "{}", "corrupt", /weight_map/],
  ["has an empty map", {}, "corrupt", /no tensors/],
  ["is no JSON", "weights", "corrupt", /expected/],
])("an index is refused when it %s", async (_name, map, code, words) => {
  const index = indexOf(map, { one: shard("a"), two: shard("a", "b") });
  await expect(readShards(index, readSafetensors)).rejects.toMatchObject(refusal(code, words));
});
