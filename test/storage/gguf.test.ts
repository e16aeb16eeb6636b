import { readGguf } from "../../lib/storage/gguf";
import { fileOf, scratch } from "./bytes";
import { refusal } from "./refusal";

const directory = scratch();
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const entry = (key: string, type: number, ...value: Buffer[]): Buffer =>
  Buffer.concat([text(key), u32(type), ...value]);
const tensor = (name: string, sizes: readonly (number | bigint)[], type = 0, offset: number | bigint = 0): Buffer =>
  Buffer.concat([text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(offset)]);

interface Parts {
  version?: number;
  keys?: readonly Buffer[];
  tensors?: readonly Buffer[];
  data?: number;
  keyCount?: number | bigint;
  tensorCount?: number | bigint;
}

function gguf({
  version = 3,
  keys = [],
  tensors = [],
  data = 0,
  keyCount = keys.length,
  tensorCount = tensors.length,
}: Parts): Buffer {
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    u32(version),
    u64(tensorCount),
    u64(keyCount),
    ...keys,
    ...tensors,
  ]);
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(data)]);
}
const read = (parts: Parts) => readGguf(fileOf(directory, gguf(parts)));

describe("a GGUF file", () => {
  test.each([2, 3])("of version %i gives metadata and tensors with sizes outermost first", async (version) => {
    const bytes = gguf({
      version,
      data: 192,
      keys: [
        entry("name", 8, text("ünï")),
        entry("count", 10, u64(7)),
        entry("base", 6, Buffer.from(Float32Array.of(1e4).buffer)),
        entry("flag", 7, Buffer.of(1)),
        entry("tokens", 9, u32(8), u64(2), text("a"), text("bc")),
        entry("types", 9, u32(5), u64(2), u32(1), u32(6)),
      ],
      tensors: [tensor("plain", [3, 2]), tensor("blocks", [64, 2], 8, 32)],
    });
    const { metadata, tensors } = await readGguf(fileOf(directory, bytes));
    expect(Object.fromEntries(metadata)).toEqual({
      name: "ünï",
      count: 7,
      base: 1e4,
      flag: true,
      tokens: ["a", "bc"],
      types: Int32Array.of(1, 6),
    });
    const start = bytes.length - 192;
    expect(tensors.map(({ file: _, ...rest }) => rest)).toEqual([
      { name: "plain", dtype: "F32", shape: [2, 3], offset: start, bytes: 24 },
      { name: "blocks", dtype: "Q8_0", shape: [2, 64], offset: start + 32, bytes: 136 },
    ]);
  });

  test.each<[string, Parts, "corrupt" | "unsupported", RegExp]>([
    ["has version 1", { version: 1 }, "unsupported", /version 1/],
    ["is big-endian", { version: 0x03000000 }, "unsupported", /big-endian/],
    ["claims a million keys", { keyCount: 1_000_000 }, "corrupt", /1000000 keys/],
    ["claims a million tensors", { tensorCount: 1_000_000 }, "corrupt", /1000000 tensors/],
    ["claims keys beyond all numbers", { keyCount: 2n ** 64n - 1n }, "corrupt", /18446744073709551615 keys/],
    ["claims more keys than it has", { keyCount: 9 }, "corrupt", /within its header/],
    ["has a key that never ends", { keys: [u64(1 << 20)] }, "corrupt", /bytes for a key/],
    ["has a text that never ends", { keys: [entry("a", 8, u64(2n ** 40n))] }, "corrupt", /bytes for "a"/],
    ["has an array of absurd length", { keys: [entry("a", 9, u32(5), u64(2n ** 40n))] }, "corrupt", /items of "a"/],
    [
      "has an array longer than the file",
      { keys: [entry("a", 9, u32(5), u64(1_000_000))] },
      "corrupt",
      /within its header/,
    ],
    [
      "has texts longer than the file",
      { keys: [entry("a", 9, u32(8), u64(1_000_000))] },
      "corrupt",
      /within its header/,
    ],
    [
      "has more texts in all than any vocabulary",
      {
        keys: ["a", "b", "c"].map((key) =>
          Buffer.concat([entry(key, 9, u32(8), u64(1_500_000)), Buffer.alloc(8 * 1_500_000)]),
        ),
      },
      "unsupported",
      /with "c" its metadata has more than 4194304 texts/,
    ],
    ["has arrays of arrays", { keys: [entry("a", 9, u32(9), u64(1))] }, "unsupported", /array of the type 9/],
    ["has a value of no type", { keys: [entry("a", 77)] }, "corrupt", /type 77/],
    ["has a key twice", { keys: [entry("a", 7, Buffer.of(1)), entry("a", 7, Buffer.of(1))] }, "corrupt", /"a" twice/],
    ["has a count beyond what can be counted", { keys: [entry("a", 10, u64(2n ** 63n))] }, "corrupt", /beyond/],
    [
      "has an alignment of zero",
      { keys: [entry("general.alignment", 4, u32(0))], tensors: [tensor("t", [1])], data: 4 },
      "corrupt",
      /alignment 0/,
    ],
    [
      "has sizes whose product overflows",
      { tensors: [tensor("t", [2n ** 40n, 2n ** 40n])] },
      "corrupt",
      /"t" has the sizes/,
    ],
    ["has a size of zero", { tensors: [tensor("t", [0])] }, "corrupt", /"t" has the sizes/],
    ["has five dimensions", { tensors: [tensor("t", [1, 1, 1, 1, 1])] }, "corrupt", /5 dimensions/],
    ["has rows that no block divides", { tensors: [tensor("t", [33], 8)], data: 64 }, "corrupt", /multiple of the 32/],
    ["has a type that is not read", { tensors: [tensor("t", [256], 10)], data: 256 }, "unsupported", /ggml type 10/],
    ["has a tensor beyond the end", { tensors: [tensor("t", [9])], data: 32 }, "corrupt", /ends at byte/],
    [
      "has an offset beyond the end",
      { tensors: [tensor("t", [1], 0, 2n ** 50n)], data: 32 },
      "corrupt",
      /ends at byte/,
    ],
    [
      "has an offset beyond all numbers",
      { tensors: [tensor("t", [1], 0, 2n ** 63n)], data: 32 },
      "corrupt",
      /bytes before "t"/,
    ],
    ["has a tensor between alignments", { tensors: [tensor("t", [1], 0, 4)], data: 32 }, "corrupt", /aligned/],
    [
      "has overlapping tensors",
      { tensors: [tensor("s", [16]), tensor("t", [1], 0, 32)], data: 64 },
      "corrupt",
      /"t" overlaps/,
    ],
    ["has a tensor twice", { tensors: [tensor("t", [1]), tensor("t", [1], 0, 32)], data: 64 }, "corrupt", /"t" twice/],
  ])("is refused when it %s", async (_name, parts, code, words) => {
    await expect(read(parts)).rejects.toMatchObject(refusal(code, words));
  });

  test("is refused when it is something else, and wherever its header is cut off", async () => {
    await expect(readGguf(fileOf(directory, Buffer.from("PK\x03\x04 and more")))).rejects.toMatchObject(
      refusal("corrupt", /GGUF/),
    );
    const whole = gguf({
      keys: [entry("a", 8, text("b")), entry("c", 9, u32(8), u64(1), text("d"))],
      tensors: [tensor("t", [8])],
      data: 32,
    });
    for (let length = 0; length < whole.length; length += 5) {
      await expect(readGguf(fileOf(directory, whole.subarray(0, length)))).rejects.toMatchObject({ code: "corrupt" });
    }
  });
});
