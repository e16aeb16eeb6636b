import { longestHold, shortestHold } from "../data/event-loop";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors, safetensorsHeader } from "../../lib/storage/safetensors";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import { fileOf, safetensorsBytes, scratch } from "./bytes";
import { refusal } from "./refusal";

const directory = scratch();
const read = (header: unknown, data: number, length?: bigint) =>
  readSafetensors(fileOf(directory, safetensorsBytes(header, data, length)));
const floats = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("a safetensors header", () => {
  test("lists tensors with their places in the file, in the header's order", async () => {
    const header = {
      __metadata__: { format: "pt" },
      b: floats(8, 32, [2, 3]),
      a: { dtype: "BF16", shape: [4], data_offsets: [0, 8] },
    };
    const start = 8 + Buffer.byteLength(JSON.stringify(header));
    const tensors = await read(header, 32);
    expect(tensors.map(({ file: _, ...rest }) => rest)).toEqual([
      { name: "b", dtype: "F32", shape: [2, 3], offset: start + 8, bytes: 24 },
      { name: "a", dtype: "BF16", shape: [4], offset: start, bytes: 8 },
    ]);
  });

  test("may hold scalars, empty tensors, escaped names and trailing spaces", async () => {
    const text = `${JSON.stringify({ 'a"\\b': floats(0, 4, []), none: floats(4, 4, [0, 7]) })}   `;
    expect((await read(text, 4)).map(({ name, shape }) => [name, shape])).toEqual([
      ['a"\\b', []],
      ["none", [0, 7]],
    ]);
  });

  test.each([5000n, 100_000_001n, 2n ** 53n, 2n ** 64n - 1n])(
    "is refused when its length claims %s bytes",
    async (length) => {
      await expect(read({}, 0, length)).rejects.toMatchObject(refusal("corrupt", new RegExp(`claims ${length} bytes`)));
    },
  );

  test.each<[string, unknown, number, RegExp]>([
    ["is no JSON", "{nonsense}", 0, /expected """ at byte 1/],
    ["is a list", "[]", 0, /expected "\{"/],
    ["ends within a value", '{"a":{', 0, /ends within/],
    ["is followed by other text", "{}x", 0, /text after/],
    ["nests without end", `{"a":${"[".repeat(200_000)}`, 0, /ends within/],
    [
      "names a tensor twice",
      `{"a":${JSON.stringify(floats(0, 4))},"a":${JSON.stringify(floats(0, 4))}}`,
      4,
      /names "a" twice/,
    ],
    ["has overlapping tensors", { a: floats(0, 8), b: floats(4, 12) }, 12, /"b" overlaps/],
    ["has two tensors in one place", { a: floats(0, 8), b: floats(0, 8) }, 8, /overlaps/],
    ["leaves a gap", { a: floats(0, 4), b: floats(8, 12) }, 12, /belong to no tensor/],
    ["leaves a gap at the start", { a: floats(4, 8) }, 8, /belong to no tensor/],
    ["points beyond the file", { a: floats(0, 8) }, 4, /truncated/],
    ["leaves bytes at the end", { a: floats(0, 8) }, 12, /goes on/],
    ["has a shape that does not fit", { a: floats(0, 8, [3]) }, 8, /does not fit its bytes/],
    ["has a shape whose product overflows", { a: floats(0, 8, [2 ** 31, 2 ** 31, 4]) }, 8, /does not fit its bytes/],
    ["has a negative size", { a: floats(0, 8, [-2]) }, 8, /shape of "a"/],
    ["has offsets that go back", { a: { dtype: "F32", shape: [1], data_offsets: [8, 4] } }, 8, /does not fit/],
    [
      "has offsets that are no numbers",
      { a: { dtype: "F32", shape: [1], data_offsets: ["0", "4"] } },
      4,
      /whole numbers/,
    ],
    ["has fractional offsets", { a: { dtype: "F32", shape: [1], data_offsets: [0.5, 4.5] } }, 4, /whole numbers/],
    ["has no offsets", { a: { dtype: "F32", shape: [1] } }, 4, /two data offsets/],
    ["has a tensor that is no object", { a: 7 }, 0, /describe a tensor/],
    ["has metadata that are no texts", { __metadata__: { a: 1 } }, 0, /metadata/],
  ])("is refused when it %s", async (_name, header, data, words) => {
    await expect(read(header, data)).rejects.toMatchObject(refusal("corrupt", words));
  });

  test("is refused when a type is unknown", async () => {
    await expect(read({ a: { dtype: "F128", shape: [1], data_offsets: [0, 16] } }, 16)).rejects.toMatchObject(
      refusal("unsupported", /F128/),
    );
  });

  test("is refused when the file ends within the length", async () => {
    await expect(readSafetensors(fileOf(directory, Buffer.from("abc")))).rejects.toMatchObject(
      refusal("corrupt", /at least 8 bytes/),
    );
  });

  test("is refused when the file is no file", async () => {
    await expect(readSafetensors(directory)).rejects.toMatchObject(refusal("invalid", /regular file/));
    await expect(readSafetensors(join(directory, "absent"))).rejects.toMatchObject(refusal("missing", /No file/));
  });

  test("does not hold the event loop, however many entries it has", async () => {
    const header = `{${Array.from({ length: 60_000 }, (_, i) => `"${i}":${JSON.stringify(floats(4 * i, 4 * i + 4))}`).join(",")}}`;
    const path = fileOf(directory, safetensorsBytes(header, 240_000));
    let tensors: readonly unknown[] = [];
    const held = await shortestHold(async () => {
      tensors = await readSafetensors(path);
    });
    expect(tensors).toHaveLength(60_000);
    expect(held).toBeLessThan(longestHold);
  });
});

describe("arrays in safetensors files", () => {
  test("come back as they were written", async () => {
    const path = join(directory, "arrays.safetensors");
    const tensors = {
      floats: { data: Float32Array.of(1, -2, 3.5, NaN), shape: [2, 2] },
      doubles: { data: Float64Array.of(Math.PI), shape: [] },
      ids: { data: Int32Array.of(7, -8), shape: [2] },
      bytes: { data: Uint8Array.of(1, 2, 3), shape: [3] },
      none: { data: new Float32Array(0), shape: [0, 5] },
    };
    await writeSafetensors(path, tensors, { schema: "1" });
    const back = await readTensors(path);
    expect({ ...back.tensors }).toEqual(tensors);
    expect(back.metadata).toEqual({ schema: "1" });
    expect(readdirSync(directory).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("start at a multiple of eight bytes", () => {
    expect(safetensorsHeader([{ name: "odd", dtype: "U8", shape: [3] }]).length % 8).toBe(0);
  });

  test("are refused when shape and length differ, and leave no file", async () => {
    const path = join(directory, "wrong.safetensors");
    await expect(writeSafetensors(path, { a: { data: new Float32Array(3), shape: [2] } })).rejects.toMatchObject(
      refusal("invalid", /"a"/),
    );
    expect(() => readFileSync(path)).toThrow();
  });
});
