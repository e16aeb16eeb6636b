// Data in the files that people have: Parquet against the same rows as JSONL, compressed texts, conversations, the hub.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type DatasetName, loadDataset } from "../../lib/data/load-dataset";
import { toParquet } from "../../lib/results/export/to-parquet";
import { withHub } from "../hub/world";
import { refusal } from "../storage/refusal";
import { longestHold, shortestHold } from "./event-loop";

const golden = join(__dirname, "parquet");
const directory = mkdtempSync(join(tmpdir(), "attribution-formats-"));
afterAll(() => rmSync(directory, { recursive: true }));

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const parquetFile = (name: string): Buffer => readFileSync(join(golden, `${name}.parquet`));
/** "a,b\nc" as `zstd` writes it: one frame, one raw block, with the length of the content in a byte. */
const zstd = (text: string): Buffer => {
  const content = Buffer.from(text);
  const block = Buffer.alloc(3);
  block.writeUIntLE((content.length << 3) | 1, 0, 3);
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, content.length]), block, content]);
};

describe("Parquet", () => {
  test.each(["none", "snappy", "gzip", "zstd", "brotli", "lz4", "no-dictionary", "delta", "nested"])(
    "%s is the same data set as its rows in JSONL",
    async (name) => {
      const read = await loadDataset("parquet", { path: join(golden, `${name}.parquet`) });
      const { hash, rows } = await loadDataset("jsonl", { path: join(golden, `${name}.jsonl`) });
      expect(read.rows).toEqual(rows);
      expect(read.hash).toBe(hash);
    },
  );

  test("has lists as choices, records by dots, and no images", async () => {
    const path = join(golden, "nested.parquet");
    const fields = { answer: "answer.text", talk: "messages" };
    const { rows } = await loadDataset("parquet", { path, fields, limit: 1 });
    expect(rows[0].fields["answer"]).toBe("x");
    expect(JSON.parse(String(rows[0].fields["talk"]))).toHaveLength(2);
    await expect(loadDataset("parquet", { path, fields: { text: "answer" } })).rejects.toMatchObject(
      refusal(
        "corrupt",
        /nested\.parquet:1: has no text "answer", .* an object\. Name a text within it, such as "answer\.text"/,
      ),
    );
    const binary = await loadDataset("parquet", { path: join(golden, "binary.parquet") });
    expect(binary.rows.map(({ fields: each }) => each)).toEqual([{ text: "a" }, { text: "b" }]);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["a cut footer", parquetFile("snappy").subarray(0, -20), /no whole Parquet footer .* cut off/],
    ["a text", Buffer.from('{"text": "a"}\n'), /no whole Parquet footer/],
    ["nothing", Buffer.alloc(0), /no whole Parquet footer/],
    ["a damaged page", parquetFile("gzip").fill(255, 60, 90), /row group 1 cannot be read/],
  ])("%s is refused", async (_what, content, words) => {
    const path = file("bad.parquet", content);
    await expect(loadDataset("parquet", { path })).rejects.toMatchObject(refusal("corrupt", words));
  });

  test("is read with the event loop free, and stops by its signal", async () => {
    const [queries, train] = [100, 150];
    const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `row ${at}`);
    const scores = new Float32Array(queries * train).map((_, at) => at);
    const provenance = {
      method: "x",
      options: {},
      modelHash: "",
      dataHashes: {},
      versions: { attribution: "", libtorch: "" },
      dtype: "float32",
    };
    const result = {
      kind: "instances",
      scores,
      queries,
      train,
      queryIds: ids(queries),
      trainIds: ids(train),
      unit: "x",
      provenance,
    };
    const path = join(directory, "large.parquet");
    await toParquet(result, path);
    const { rows } = await loadDataset("parquet", { path, label: null });
    expect(rows).toHaveLength(queries * train);
    expect(await shortestHold(() => loadDataset("parquet", { path, limit: 10_000 }), 5)).toBeLessThan(longestHold);
    const stop = new AbortController();
    const call = loadDataset("parquet", { path, signal: stop.signal, onProgress: () => stop.abort() });
    await expect(call).rejects.toMatchObject(refusal("aborted", /aborted/));
  });
});

describe("compressed", () => {
  const lines = '{"text": "a"}\n{"text": "ü"}\n';
  const table = "text,label\na,x\nb,y\n";

  test.each<[string, DatasetName, string, Uint8Array, number]>([
    ["gzip JSONL", "jsonl", "a.jsonl.gz", gzipSync(lines), 2],
    ["gzip CSV", "csv", "a.csv.gz", gzipSync(table), 2],
    ["gzip TSV by its name", "csv", "a.tsv.gz", gzipSync(table.replaceAll(",", "\t")), 2],
    ["several members, another name", "jsonl", "a.data", Buffer.concat([gzipSync(lines), gzipSync(lines)]), 4],
    ["Zstandard", "jsonl", "a.jsonl.zst", zstd(lines), 2],
  ])("%s", async (_what, name, path, content, rows) => {
    expect((await loadDataset(name, { path: file(path, content) })).rows).toHaveLength(rows);
  });

  test("is the same data set, also of several pieces", async () => {
    const long = Array.from({ length: 5000 }, (_, at) => JSON.stringify({ text: `row ${at} ü` })).join("\n");
    const plain = await loadDataset("jsonl", { path: file("long.jsonl", long) });
    const { hash } = await loadDataset("jsonl", { path: file("long.jsonl.gz", gzipSync(long)) });
    expect(hash).toBe(plain.hash);
    const frames = Buffer.concat(long.match(/[^]{1,120}/g)!.map((part) => zstd(part)));
    expect((await loadDataset("jsonl", { path: file("long.zst", frames) })).hash).toBe(plain.hash);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["a cut gzip file", gzipSync(lines).subarray(0, 30), /its gzip data is cut off/],
    ["a damaged gzip file", Buffer.from(gzipSync(lines)).fill(9, 12, 20), /its gzip data is damaged/],
    ["a cut Zstandard file", zstd(lines).subarray(0, 20), /its Zstandard data is cut off/],
  ])("%s is refused", async (_what, content, words) => {
    await expect(loadDataset("jsonl", { path: file("bad.gz", content) })).rejects.toMatchObject(
      refusal("corrupt", words),
    );
  });
});

describe("conversations", () => {
  const turns = [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello" },
  ];
  const load = async (row: object) => {
    const { rows } = await loadDataset("jsonl", { path: file("chat.jsonl", `${JSON.stringify(row)}\n`) });
    return { ...rows[0].fields, messages: JSON.parse(String(rows[0].fields["messages"])) as unknown };
  };

  test("in every form are the field messages", async () => {
    expect(await load({ messages: turns, source: "s" })).toEqual({ messages: turns, source: "s" });
    const sharegpt = [
      { from: "human", value: "Hi" },
      { from: "gpt", value: "Hello" },
    ];
    expect(await load({ conversations: sharegpt })).toEqual({ messages: turns });
    expect(await load({ prompt: turns, completion: turns.slice(1) })).toEqual({
      messages: [...turns.map((turn) => ({ ...turn, weight: 0 })), turns[1]],
    });
    const parts = [
      {
        role: "user",
        content: [
          { type: "text", text: "H" },
          { type: "text", text: "i" },
        ],
      },
    ];
    expect(await load({ messages: parts })).toEqual({ messages: turns.slice(0, 1) });
  });

  test.each<[unknown[], RegExp]>([
    [[{ role: "user", content: "a" }, { content: "b" }], /:1: has no role in its turn 2/],
    [[{ role: "user", content: null }], /has no text in its turn 1/],
    [[{ role: "user", content: [{ type: "image" }] }], /has no text in its turn 1/],
    [[{ role: "user", content: "a", weight: 2 }], /has the weight 2 in its turn 1; expected 0 or 1/],
  ])("%j is refused", async (messages, words) => {
    await expect(load({ messages })).rejects.toMatchObject(refusal("corrupt", words));
  });
});

describe("a data set of the hub", () => {
  const commit = "89abcdef0123456789abcdef0123456789abcdef";
  const files = {
    "default/train/0000.parquet": parquetFile("zstd"),
    "default/train/0001.parquet": parquetFile("gzip"),
    "default/test/0000.parquet": parquetFile("nested"),
    "small/partial-train/0000.parquet": parquetFile("none"),
  };
  const repository = { type: "dataset", id: "someone/claims", commit, files, large: Object.keys(files) } as const;

  test("is read by its id: variant, split, all files; offline from the cache", async () => {
    await withHub(repository, async ({ requests }) => {
      const load = (options = {}) => loadDataset("hub", { path: "someone/claims", ...options });
      const train = await load();
      expect(train.rows).toHaveLength(12);
      expect((await load({ split: "test" })).rows).toHaveLength(3);
      expect((await load({ variant: "small", label: null })).labels).toEqual([]);
      process.env["HF_HUB_OFFLINE"] = "1";
      const before = requests.length;
      expect((await load()).hash).toBe(train.hash);
      expect(requests).toHaveLength(before);
    });
  });

  test("refusals name what there is", async () => {
    await withHub(repository, async () => {
      const load = (options: object) => loadDataset("hub", { path: "someone/claims", ...options });
      await expect(load({ split: "dev" })).rejects.toMatchObject(
        refusal("missing", /no split "dev"\. It has (train, test|test, train)/),
      );
      await expect(load({ variant: "big" })).rejects.toMatchObject(refusal("missing", /variants default, small/));
      await expect(load({ path: "someone/else" })).rejects.toMatchObject(
        refusal("missing", /no data set "someone\/else"/),
      );
      await expect(load({ path: "./x" })).rejects.toMatchObject(refusal("invalid", /hub id/));
      const path = file("a.jsonl", '{"text":"a"}\n');
      await expect(loadDataset("jsonl", { path, split: "x" })).rejects.toMatchObject(refusal("invalid", /"split"/));
    });
  });
});
