// Tokenizers give the ids that transformers gives (tokenizer-golden.json, made by make-tokenizer-golden.py): on a tiny
// vocabulary of our own, and on the real ones where ../shared/data is there.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTokenizer, openTokenizer, saveTokenizer, withPadToken } from "../../lib/data/tokenizer";
import type { Tokenizer } from "../../types/data";
import { longestHold, shortestHold } from "./event-loop";
import { sharedData, testOnRealFiles } from "../needs";

interface Golden {
  readonly texts: readonly string[];
  readonly ids: Readonly<Record<string, number[][]>>;
  readonly words: object;
  readonly variants: Readonly<Record<string, { pre_tokenizer: object; ids: number[][] }>>;
}
const golden = JSON.parse(readFileSync(join(__dirname, "tokenizer-golden.json"), "utf8")) as Golden;
const tiny = join(__dirname, "byte-bpe");
const tinyJson = JSON.parse(readFileSync(join(tiny, "tokenizer.json"), "utf8")) as {
  model: { vocab: Record<string, number>; merges: [string, string][] };
};
const directory = mkdtempSync(join(tmpdir(), "attribution-tokenizer-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

async function expectGolden(tokenizer: Tokenizer, ids: readonly number[][]): Promise<void> {
  const encoded = await tokenizer.encode(golden.texts);
  golden.texts.forEach((text, index) => {
    expect({ text, ids: Array.from(encoded[index]) }).toEqual({ text, ids: ids[index] });
  });
}

describe("ids equal transformers'", () => {
  test("a tiny byte-level vocabulary, and its texts come back", async () => {
    const tokenizer = await openTokenizer(tiny);
    await expectGolden(tokenizer, golden.ids["byte-bpe"]);
    expect(tokenizer.special).toEqual({ bos: 0, eos: 0 });
    for (const [index, text] of golden.texts.entries())
      expect(await tokenizer.decode(golden.ids["byte-bpe"][index])).toBe(text);
    tokenizer.close();
  });

  test.each(Object.keys(golden.variants))("pre-tokenizer: %s", async (name) => {
    const { pre_tokenizer, ids } = golden.variants[name];
    const json = name.startsWith("words") ? golden.words : tinyJson;
    await expectGolden(await createTokenizer({ ...json, pre_tokenizer }), ids);
  });

  for (const name of Object.keys(golden.ids).filter((name) => name !== "byte-bpe")) {
    testOnRealFiles(name, [name], async () => {
      const tokenizer = await openTokenizer(join(sharedData, name));
      await expectGolden(tokenizer, golden.ids[name]);
      tokenizer.close();
    });
  }

  testOnRealFiles("OPT from vocab.json and merges.txt alone", ["tokenizers/opt"], async () => {
    const opt = join(sharedData, "tokenizers/opt");
    const files = ["vocab.json", "merges.txt", "tokenizer_config.json"].map((name) => join(opt, name));
    const tokenizer = await openTokenizer({ files });
    await expectGolden(tokenizer, golden.ids["tokenizers/opt"]);
    expect([tokenizer.size, tokenizer.special, tokenizer.files]).toEqual([
      50265,
      { bos: 2, eos: 2, pad: 1, unk: 2 },
      files,
    ]);
    const unnamed = join(directory, "opt");
    mkdirSync(unnamed);
    for (const name of ["vocab.json", "merges.txt"]) copyFileSync(join(opt, name), join(unnamed, name));
    writeFileSync(join(unnamed, "config.json"), JSON.stringify({ bos_token_id: 2, eos_token_id: 2, pad_token_id: 1 }));
    const named = await openTokenizer(unnamed);
    expect(named.special).toEqual({ bos: 2, eos: 2, pad: 1 });
    expect(Array.from((await named.encode(["a</s>b"]))[0])).toEqual([102, 2, 428]);
  });
});

describe("tokenizers made here", () => {
  test("from objects or a Map; closed ones refuse; open ones go on", async () => {
    const { model, ...rest } = tinyJson;
    const fromMap = await createTokenizer(
      { ...rest, model: { ...model, vocab: new Map(Object.entries(model.vocab)) } },
      { eos_token: "<|endoftext|>" },
    );
    const other = await createTokenizer(tinyJson);
    await expectGolden(fromMap, golden.ids["byte-bpe"]);
    expect(fromMap.special).toEqual({ eos: 0 });
    fromMap.close();
    fromMap.close();
    await expect(fromMap.encode(["a"])).rejects.toMatchObject({ code: "invalid", message: "The tokenizer is closed" });
    expect(await other.encode([])).toEqual([]);
    expect(await other.decode([])).toBe("");
    expect((await other.encode(Array.from({ length: 1000 }, () => "a b"))).length).toBe(1000);
  });

  test("a padding token gets the next id, saved and opened again", async () => {
    const tokenizer = await openTokenizer(tiny);
    const padded = await withPadToken(tokenizer);
    expect([padded.size, padded.special.pad]).toEqual([tokenizer.size + 1, tokenizer.size]);
    expect(await withPadToken(padded)).toBe(padded);
    const [ids] = await padded.encode(["a<pad>b"]);
    expect(Array.from(ids)).toEqual([model("a"), padded.special.pad, model("b")]);
    await expect(withPadToken(tokenizer, "a")).rejects.toMatchObject({ code: "invalid" });
    const saved = await saveTokenizer(padded, join(directory, "saved"));
    expect(saved.map((path) => path.slice(directory.length))).toEqual([
      "/saved/tokenizer.json",
      "/saved/tokenizer_config.json",
    ]);
    const again = await openTokenizer(join(directory, "saved"));
    expect([again.size, again.special]).toEqual([padded.size, padded.special]);
    await expect(saveTokenizer(padded, join(saved[0], "inside"))).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/Cannot write .*a file, not a folder/) as string,
    });
    expect(await again.encode(golden.texts)).toEqual(await padded.encode(golden.texts));
  });
  const model = (token: string): number => tinyJson.model.vocab[token];

  test("texts of single tokens keep their space; a special token is itself", async () => {
    const tokenizer = await openTokenizer(tiny);
    const [ids] = await tokenizer.encode(["the the<|endoftext|>"]);
    expect((await tokenizer.tokenTexts(ids)).join("")).toBe("the the<|endoftext|>");
  });

  test("an unknown word without an unknown token is refused", async () => {
    const json = {
      added_tokens: [],
      pre_tokenizer: { type: "Whitespace" },
      model: { type: "WordLevel", vocab: { a: 0, b: 1 } },
    };
    const tokenizer = await createTokenizer(json);
    await expect(tokenizer.encode(["a c"])).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining('"c"'),
    });
    expect(Array.from((await tokenizer.encode(["a b"]))[0])).toEqual([0, 1]);
    const lenient = await createTokenizer({ ...json, model: { ...json.model, unk_token: "a" } });
    expect(Array.from((await lenient.encode(["b c"]))[0])).toEqual([1, 0]);
  });
});

describe("a hostile tokenizer", () => {
  const replacing = (pattern: object, content: string): object => ({ type: "Replace", pattern, content });

  test("one whose regular expression does not end is stopped, and the others live on", async () => {
    const other = await openTokenizer(tiny);
    const normalizer = replacing({ Regex: "(?:a|a)+$" }, "x");
    const tokenizer = await createTokenizer({ ...tinyJson, normalizer });
    const stuck = expect(tokenizer.encode([`${"a".repeat(60)}b`])).rejects.toMatchObject({
      name: "AttributionError",
      code: "unsupported",
      message: expect.stringContaining("does not end") as string,
    });
    expect(Array.from((await other.encode(["a"]))[0])).toEqual([tinyJson.model.vocab["a"]]);
    await stuck;
    await expect(tokenizer.encode(["b"])).rejects.toMatchObject({ code: "unsupported" });
    tokenizer.close();
    expect(Array.from((await other.encode(["a"]))[0])).toEqual([tinyJson.model.vocab["a"]]);
    const again = await createTokenizer({ ...tinyJson, normalizer });
    expect(Array.from((await again.encode(["b"]))[0])).toEqual([tinyJson.model.vocab["b"]]);
  }, 60_000);

  test("a replacement that feeds on itself is refused", async () => {
    const normalizers = Array.from({ length: 40 }, () => replacing({ String: "a" }, "aa"));
    const tokenizer = await createTokenizer({ ...tinyJson, normalizer: { type: "Sequence", normalizers } });
    await expect(tokenizer.encode(["a"])).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("a replacement that grows") as string,
    });
    expect(Array.from((await tokenizer.encode(["b"]))[0])).toEqual([tinyJson.model.vocab["b"]]);
  });

  test("pipes, devices and sparse files are refused", async () => {
    const at = (name: string): string => {
      const path = join(directory, name);
      mkdirSync(path);
      return join(path, "tokenizer.json");
    };
    const pipe = at("pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(openTokenizer(join(directory, "pipe"))).rejects.toMatchObject({
      code: "invalid",
      message: `Expected ${pipe} to be a regular file`,
    });
    const device = at("device");
    execFileSync("ln", ["-s", "/dev/zero", device]);
    await expect(openTokenizer(join(directory, "device"))).rejects.toMatchObject({ code: "invalid" });
    const sparse = at("sparse");
    writeFileSync(sparse, "{");
    truncateSync(sparse, 3e9);
    await expect(openTokenizer(join(directory, "sparse"))).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("at most 134217728 bytes but found 3000000000") as string,
    });
  });
});

describe("refusals", () => {
  const made = (name: string, files: Record<string, string>): string => {
    const path = join(directory, name);
    mkdirSync(path);
    for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
    return path;
  };
  const bpe = (changes: object): object => ({ ...tinyJson, ...changes });

  test("directories", async () => {
    await expect(openTokenizer(join(directory, "nowhere"))).rejects.toMatchObject({ code: "missing" });
    await expect(openTokenizer(made("empty", {}))).rejects.toMatchObject({
      code: "missing",
      message: expect.stringContaining("vocab.json and merges.txt"),
    });
    await expect(openTokenizer(made("half", { "vocab.json": "{}" }))).rejects.toMatchObject({ code: "missing" });
    await expect(openTokenizer(made("sentencepiece", { "tokenizer.model": "x" }))).rejects.toMatchObject({
      code: "unsupported",
    });
    await expect(openTokenizer(made("broken", { "tokenizer.json": "{" }))).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining("broken/tokenizer.json"),
    });
    await expect(
      openTokenizer(made("merges", { "vocab.json": '{"a": 0}', "merges.txt": "#version: 0.2\na\n" })),
    ).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining("merges.txt:2") });
    await expect(openTokenizer(3 as unknown as string)).rejects.toMatchObject({ code: "invalid" });
  });

  const broken: [string, object, string][] = [
    ["no model", { model: undefined }, "invalid"],
    ["a merge of unknown tokens", bpe({ model: { ...tinyJson.model, merges: [["zz", "yy"]] } }), "corrupt"],
    ["an id twice", bpe({ model: { type: "BPE", vocab: { a: 0, b: 0 }, merges: [] } }), "corrupt"],
    ["an unknown pre-tokenizer", bpe({ pre_tokenizer: { type: "Mystery" } }), "unsupported"],
    ["dropout", bpe({ model: { ...tinyJson.model, dropout: 0.1 } }), "unsupported"],
    ["an unknown normalizer", bpe({ normalizer: { type: "Mystery" } }), "unsupported"],
    ["UnicodeScripts", bpe({ pre_tokenizer: { type: "UnicodeScripts" } }), "unsupported"],
    [
      "a regular expression with a back reference",
      bpe({ pre_tokenizer: { type: "Split", pattern: { Regex: "(a)\\1" }, behavior: "Isolated", invert: false } }),
      "unsupported",
    ],
    [
      "an added token with an id that Rust does not give",
      bpe({ added_tokens: [{ id: 9000, content: "<new>", special: true }] }),
      "corrupt",
    ],
  ];
  test.each(broken)("%s", async (_, json, code) => {
    await expect(createTokenizer(json)).rejects.toMatchObject({ name: "AttributionError", code });
    await expect(openTokenizer(tiny)).resolves.toBeDefined();
  });

  test("ids and texts of the wrong kind", async () => {
    const tokenizer = await openTokenizer(tiny);
    await expect(tokenizer.decode([tokenizer.size])).rejects.toMatchObject({ code: "invalid" });
    await expect(tokenizer.decode([-1])).rejects.toMatchObject({ code: "invalid" });
    await expect(tokenizer.encode(["a", 3 as unknown as string])).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("texts[1]"),
    });
    await expect(tokenizer.encode("a" as unknown as string[])).rejects.toMatchObject({ code: "invalid" });
    expect(await tokenizer.encode(["ok"])).toHaveLength(1);
  });

  test("half of a surrogate pair", async () => {
    const tokenizer = await openTokenizer(tiny);
    await expect(tokenizer.encode(["a\ud83db"])).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("half of a surrogate pair at 1 (\\ud83d)") as string,
    });
    const [ids] = await tokenizer.encode(["a\ud83d\ude00b"]);
    expect(await tokenizer.decode(ids)).toBe("a\ud83d\ude00b");
  });
});

describe("the event loop", () => {
  testOnRealFiles(
    "opening a 50,000-token vocabulary and encoding 2,000 texts",
    ["tokenizers/opt", "mnli/mnli_train.jsonl"],
    async () => {
      const lines = readFileSync(join(sharedData, "mnli/mnli_train.jsonl"), "utf8").split("\n").slice(0, 2000);
      expect(
        await shortestHold(async () => {
          const tokenizer = await openTokenizer(join(sharedData, "tokenizers/opt"));
          await tokenizer.encode(lines);
          tokenizer.close();
        }),
      ).toBeLessThan(longestHold);
    },
  );
});
