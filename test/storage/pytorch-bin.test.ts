import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ListedTensor } from "../../lib/storage/listing";
import { readPytorchBin } from "../../lib/storage/pytorch-bin";
import { longestHold, shortestHold } from "../data/event-loop";
import { binBytes, fileOf, pickle, pickledTensor, scratch, zipBytes, type StoredFields } from "./bytes";
import { refusal } from "./refusal";

const directory = scratch();
const read = (bytes: Buffer) => readPytorchBin(fileOf(directory, bytes));
const readTensor = (fields: StoredFields) => read(binBytes(pickle.dict({ a: pickledTensor(fields) })));

describe("pytorch_model.bin", () => {
  test.each([false, true])("gives the place of every tensor (zip64: %s)", async (wide) => {
    const storage = Buffer.from(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
    const bytes = binBytes(
      pickle.dict({ whole: pickledTensor(), part: pickledTensor({ offset: 2, shape: [4], strides: [1] }) }),
      storage,
      wide,
    );
    const tensors = await read(bytes);
    const start = bytes.indexOf(storage);
    expect(tensors.map(({ file: _, ...rest }) => rest)).toEqual([
      { name: "whole", dtype: "F32", shape: [2, 3], offset: start, bytes: 24 },
      { name: "part", dtype: "F32", shape: [4], offset: start + 8, bytes: 16 },
    ]);
  });

  test("may hold parameters, an ordered dictionary with state, and buffers of whole numbers", async () => {
    const parameter = pickle.call(
      "torch._utils._rebuild_parameter",
      pickledTensor(),
      Buffer.from([0x88]),
      pickle.call("collections.OrderedDict"),
    );
    const mask = pickledTensor({ type: "torch.BoolStorage", elements: 24, shape: [24], strides: [1] });
    const entries = Buffer.concat([
      Buffer.from("("),
      pickle.text("a"),
      parameter,
      pickle.text("mask"),
      mask,
      Buffer.from("u"),
    ]);
    const state = pickle.dict({ _metadata: pickle.call("collections.OrderedDict") });
    const tensors = await read(
      binBytes(Buffer.concat([pickle.call("collections.OrderedDict"), entries, state, Buffer.from("b")])),
    );
    expect(tensors.map(({ name, dtype }) => [name, dtype])).toEqual([
      ["a", "F32"],
      ["mask", "BOOL"],
    ]);
  });

  test("with 20,000 tensors, or 900,000 names, does not hold the event loop", async () => {
    const entry = (i: number) => [Buffer.from("("), pickle.text(`layer.${i}`), pickledTensor(), Buffer.from("u")];
    const tensors = Buffer.concat([Buffer.from("}"), ...Array.from({ length: 20_000 }, (_, i) => entry(i)).flat()]);
    const many = fileOf(directory, binBytes(tensors));
    let listed: readonly unknown[] = [];
    const held = await shortestHold(async () => {
      listed = await readPytorchBin(many);
    });
    expect(listed).toHaveLength(20_000);
    expect(held).toBeLessThan(longestHold);

    const name = (i: number) => `\x8c\x06${String(i).padStart(6, "0")}Ns`;
    const names = Buffer.from(`}${Array.from({ length: 900_000 }, (_, i) => name(i)).join("")}`, "latin1");
    const hostile = fileOf(directory, binBytes(names));
    const refused = await shortestHold(() =>
      expect(readPytorchBin(hostile)).rejects.toMatchObject(refusal("unsupported", /more than 65536 entries/)),
    );
    expect(refused).toBeLessThan(longestHold);
  });

  test.each([2, 3, 4, 5])("may be written in pickle's protocol %i", async (protocol) => {
    const path = join(__dirname, `../golden/pickle-protocols/${protocol}.bin`);
    const tensors = await readPytorchBin(path);
    expect(tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ["weight", "F32", [2, 3]],
      ["bias", "BF16", [3]],
      ["mask", "I8", [3]],
    ]);
    const { offset, bytes } = tensors[0];
    const data = readFileSync(path).subarray(offset, offset + bytes);
    expect([0, 1, 2, 3, 4, 5].map((i) => data.readFloatLE(4 * i))).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test.each(["mixed", "legacy-2", "legacy-4"])("may share, expand and turn what is stored: %s", async (name) => {
    const path = join(__dirname, `../golden/pickle-protocols/${name}.bin`);
    const tensors = await readPytorchBin(path);
    expect(tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ["table", "F32", [3, 4]],
      ["rows", "F32", [2, 3]],
      ["expanded", "BOOL with strides [0, 0]", [5, 7]],
      ["turned", "F32 with strides [1, 4]", [4, 3]],
      ["positions", "I64", [1, 5]],
      ["count", "I32", []],
      ["empty", "F32", [0, 3]],
    ]);
    const file = readFileSync(path);
    const numbers = ({ offset, bytes }: ListedTensor) =>
      Array.from({ length: bytes / 4 }, (_, i) => file.readFloatLE(offset + 4 * i));
    const [table, rows, , , positions, count, empty] = tensors;
    expect(numbers(table)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(numbers(rows)).toEqual([4, 5, 6, 7, 8, 9]);
    expect([0, 8, 16, 24, 32].map((at) => file.readUInt8(positions.offset + at))).toEqual([0, 1, 2, 3, 4]);
    expect([file.readInt32LE(count.offset), empty.bytes]).toEqual([7, 0]);
  });

  test.each([
    "os.system",
    "builtins.eval",
    "torch.load",
    "torch._utils._rebuild_qtensor",
    "collections.OrderedDict.fromkeys",
    "numpy.core.multiarray._reconstruct",
  ])("is refused when its pickle asks for %s", async (name) => {
    const value = pickle.call(name, pickle.text("echo"));
    await expect(read(binBytes(value))).rejects.toMatchObject(
      refusal("unsupported", new RegExp(`asks for "${name.replaceAll(".", "\\.")}"`)),
    );
  });

  test.each<[string, Buffer, RegExp]>([
    ["calls a storage type", pickle.call("torch.FloatStorage"), /calls torch.FloatStorage/],
    [
      "calls something that is no function",
      Buffer.concat([pickle.text("a"), pickle.tuple(), Buffer.from("R")]),
      /no function/,
    ],
    ["refers to something that is no storage", Buffer.concat([pickle.text("a"), Buffer.from("Q")]), /no storage/],
    [
      "uses an operation that makes objects",
      Buffer.concat([pickle.global("collections.OrderedDict"), Buffer.from(")"), Buffer.from([0x81])]),
      /0x81, which makes something else/,
    ],
    ["makes an instance", Buffer.from("(i__main__\nX\n"), /0x69/],
    ["is a text", pickle.text("a"), /no dictionary/],
    ["holds a number", pickle.dict({ epoch: pickle.number(1) }), /"epoch", which is a number and no tensor/],
    ["holds a dictionary within", pickle.dict({ model: pickle.dict({}) }), /"model", which is a dictionary/],
    [
      "has a text beyond all names",
      Buffer.concat([Buffer.from([0x58, 0, 0, 2, 0]), Buffer.alloc(1 << 18)]),
      /text of 131072/,
    ],
    ["nests without end", Buffer.alloc(2_000, "("), /nested deeper/],
    ["makes objects without end", Buffer.from("}0".repeat(1_100_000)), /more than 1000000 objects/],
    ["puts values together without end", Buffer.alloc(100_000, "}"), /more than 65536 values together/],
    [
      "keeps values without end",
      Buffer.concat([Buffer.from("}"), Buffer.alloc(600_000, 0x94)]),
      /keeps more than 524288/,
    ],
    [
      "has a name that is no text",
      Buffer.concat([Buffer.from("}("), pickle.number(1), pickledTensor(), Buffer.from("u")]),
      /no text/,
    ],
    ["sets state on a list", Buffer.from("]Nb"), /no dictionary/],
  ])("that PyTorch may read is not called damaged when its pickle %s", async (_name, value, words) => {
    await expect(read(binBytes(value))).rejects.toMatchObject(refusal("unsupported", words));
    await expect(read(binBytes(value))).rejects.toThrow("Load it in Python and save its tensors alone");
  });

  test.each<[string, Buffer, RegExp]>([
    ["is empty", Buffer.alloc(0), /more than it has/],
    ["pops what is not there", Buffer.from("R"), /more than it has/],
    ["recalls what it never kept", Buffer.from([0x68, 9]), /never kept/],
    ["has no mark", Buffer.from("t"), /no mark/],
    ["has a text that goes beyond it", Buffer.from([0x58, 0xff, 0xff, 0, 0]), /too early/],
    ["has an absurd text", Buffer.from([0x58, 0xff, 0xff, 0xff, 0xff]), /too early/],
    ["has a byte that is no operation", Buffer.from([0xff]), /0xff, which no pickle has/],
  ])("is refused as damaged when its pickle %s", async (_name, value, words) => {
    await expect(read(binBytes(value))).rejects.toMatchObject(refusal("corrupt", words));
  });

  test.each<[string, StoredFields, "corrupt" | "unsupported", RegExp]>([
    ["goes beyond its storage", { offset: 1 }, "corrupt", /beyond its storage/],
    [
      "claims a storage larger than its member",
      { elements: 600, shape: [600], strides: [1] },
      "corrupt",
      /beyond its storage/,
    ],
    [
      "has sizes that overflow",
      { shape: [2 ** 30, 2 ** 30, 2 ** 30], strides: [1, 1, 1] },
      "corrupt",
      /beyond its storage/,
    ],
    ["has a negative size", { shape: [-2, 3] }, "corrupt", /rebuilds a tensor/],
    ["has a negative offset", { offset: -1 }, "corrupt", /rebuilds a tensor/],
    ["has fewer strides than sizes", { strides: [1] }, "corrupt", /rebuilds a tensor/],
    ["names a storage that is not there", { key: "9" }, "corrupt", /no storage for "a"/],
    ["names a storage outside the archive", { key: "../../etc/passwd" }, "corrupt", /no storage for "a"/],
    ["goes beyond its storage by its strides", { shape: [3, 2], strides: [3, 1] }, "corrupt", /beyond its storage/],
    [
      "has nine dimensions",
      { shape: Array<number>(9).fill(1), strides: Array<number>(9).fill(1) },
      "unsupported",
      /9 dimensions/,
    ],
  ])("is refused when a tensor %s", async (_name, fields, code, words) => {
    await expect(readTensor(fields)).rejects.toMatchObject(refusal(code, words));
  });

  test.each<[string, Buffer, "corrupt" | "unsupported", RegExp]>([
    ["is empty", Buffer.alloc(0), "corrupt", /no archive/],
    ["is text", Buffer.from("weights"), "corrupt", /no archive/],
    ["is cut in the format of before 1.6", Buffer.from([0x80, 2, 0x8a, 10]), "corrupt", /too early/],
    ["is another pickle", Buffer.from([0x80, 2, 0x4b, 1, 0x2e]), "corrupt", /does not begin as torch\.save/],
    [
      "is in the format of before 0.2",
      Buffer.concat([Buffer.alloc(257), Buffer.from("ustar"), Buffer.alloc(250)]),
      "unsupported",
      /before 0\.2/,
    ],
    ["has no directory", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(100)]), "corrupt", /no directory/],
    [
      "has no pickle",
      zipBytes([{ name: "archive/data/0", data: Buffer.alloc(4) }]),
      "corrupt",
      /expected one data.pkl/,
    ],
    [
      "has two pickles",
      zipBytes([
        { name: "a/data.pkl", data: Buffer.alloc(4) },
        { name: "b/data.pkl", data: Buffer.alloc(4) },
      ]),
      "corrupt",
      /found 2/,
    ],
    [
      "has a member twice",
      zipBytes([
        { name: "a/data.pkl", data: Buffer.alloc(4) },
        { name: "a/data.pkl", data: Buffer.alloc(4) },
      ]),
      "corrupt",
      /two members/,
    ],
    [
      "is compressed",
      zipBytes([{ name: "a/data.pkl", data: Buffer.alloc(4), method: 8 }]),
      "unsupported",
      /compressed/,
    ],
    [
      "has a member that goes beyond the end",
      zipBytes([{ name: "a/data.pkl", data: Buffer.alloc(4), size: 5_000 }]),
      "corrupt",
      /beyond the end/,
    ],
    [
      "claims sizes beyond all files",
      zipBytes([{ name: "a/data.pkl", data: Buffer.alloc(4), size: 2 ** 52 }], { wide: true }),
      "corrupt",
      /beyond the end/,
    ],
    [
      "claims a million members",
      zipBytes([{ name: "a/data.pkl", data: Buffer.alloc(4) }], { wide: true, count: 1e6 }),
      "corrupt",
      /1000000 members/,
    ],
    [
      "is big-endian",
      zipBytes([
        { name: "a/data.pkl", data: Buffer.alloc(4) },
        { name: "a/byteorder", data: Buffer.from("big") },
      ]),
      "unsupported",
      /big-endian/,
    ],
  ])("is refused when the file %s", async (_name, bytes, code, words) => {
    await expect(read(bytes)).rejects.toMatchObject(refusal(code, words));
  });

  test("is refused wherever it is cut off", async () => {
    const whole = binBytes(pickle.dict({ a: pickledTensor() }));
    for (let length = 0; length < whole.length; length += 7) {
      await expect(read(whole.subarray(0, length))).rejects.toMatchObject({ code: "corrupt" });
    }
  });

  test("never does anything but refuse or read when single bytes are changed", async () => {
    const whole = binBytes(pickle.dict({ a: pickledTensor() }));
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = changed[at] ^ (1 << (at % 8));
      const outcome = await read(changed).then(
        () => "read",
        (error: { name: string }) => error.name,
      );
      expect(["read", "AttributionError"]).toContain(outcome);
    }
  });
});
