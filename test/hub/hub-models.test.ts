import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { gradient } from "../../lib/neuron/gradient";
import { createInstances } from "../../lib/data/instances";
import { loadModel } from "../../lib/model/load-model";
import { refusal } from "../storage/refusal";
import type { FakeRepository } from "./hub-server";
import { withHub } from "./world";

const golden = join(__dirname, "../golden");
const commit = "0123456789abcdef0123456789abcdef01234567";

function repositoryOf(folder: string, id: string, further: Record<string, Buffer> = {}): FakeRepository {
  const names = readdirSync(join(golden, folder)).filter((name) => !name.startsWith("golden"));
  const files = {
    ...Object.fromEntries(names.map((name) => [name, readFileSync(join(golden, folder, name))])),
    ...further,
  };
  return { id, commit, files, large: names.filter((name) => name.endsWith(".safetensors")) };
}

const tokenizer = {
  "tokenizer.json": readFileSync(join(__dirname, "../data/byte-bpe/tokenizer.json")),
  "tokenizer_config.json": readFileSync(join(__dirname, "../data/byte-bpe/tokenizer_config.json")),
};
const unwanted = { "pytorch_model.bin": Buffer.from("never fetched"), "README.md": Buffer.from("nor this") };
const tiny = repositoryOf("gpt2", "someone/tiny", { ...tokenizer, ...unwanted });
const weights = tiny.files["model.safetensors"];
const sha256 = createHash("sha256").update(weights).digest("hex");

async function hashOf(source: string, options = {}): Promise<string> {
  using model = await loadModel(source, options);
  return model.hash;
}

const local = (): Promise<string> => hashOf(join(golden, "gpt2"));

describe("a model by its hub id", () => {
  test("is fetched into the cache that Python shares, and is the model; only what is needed", async () => {
    await withHub(tiny, async ({ cache, requests }) => {
      process.env["HF_TOKEN"] = "secret";
      const seen: number[] = [];
      using model = await loadModel("someone/tiny", {
        onProgress: ({ done, stage }) => stage === "download" && seen.push(done),
      });
      expect(model.hash).toBe(await local());
      expect(model.source).toEqual({ id: "someone/tiny", revision: commit });
      const { provenance } = await gradient(model, createInstances({ kind: "causalLM", rows: [[1, 2]] }));
      expect(provenance.modelSource).toEqual({ id: "someone/tiny", revision: commit });
      const root = join(cache, "models--someone--tiny");
      const snapshot = join(root, "snapshots", commit);
      expect(readdirSync(snapshot).sort()).toEqual([
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
      ]);
      expect(readlinkSync(join(snapshot, "model.safetensors"))).toBe(`../../blobs/${sha256}`);
      expect(readFileSync(join(root, "refs", "main"), "utf8")).toBe(commit);
      expect(seen.at(-1)).toBe(
        readdirSync(snapshot).reduce((sum, name) => sum + statSync(join(snapshot, name)).size, 0),
      );
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
      expect(requests.some(({ token }) => token === "Bearer secret")).toBe(true);
      expect(requests.filter(({ large }) => large).map(({ token }) => token)).toEqual([undefined]);
    });
  });

  test("is used from the cache without a request, also offline and by commit", async () => {
    await withHub(tiny, async ({ requests }) => {
      await hashOf("someone/tiny", { revision: "v1" });
      const before = requests.length;
      expect(await hashOf("someone/tiny", { revision: "v1" })).toBe(await local());
      process.env["HF_HUB_OFFLINE"] = "1";
      expect(await hashOf("someone/tiny", { revision: commit })).toBe(await local());
      expect(requests).toHaveLength(before);
      await expect(loadModel("someone/tiny", { revision: "v2" })).rejects.toMatchObject(
        refusal("missing", /at v2 is not whole in the cache .* HF_HUB_OFFLINE forbids/),
      );
    });
  });

  test("in shards: those that the index names", async () => {
    const sharded = repositoryOf("format-safetensors-sharded", "someone/sharded", {
      "model-00001-of-00009.safetensors": Buffer.from("of another save"),
    });
    await withHub(sharded, async ({ cache }) => {
      expect(await hashOf("someone/sharded")).toBe(await hashOf(join(golden, "format-safetensors-sharded")));
      const names = readdirSync(join(cache, "models--someone--sharded", "snapshots", commit));
      expect(names.filter((name) => name.includes("-of-"))).toHaveLength(3);
    });
  });

  test("a path that exists wins, and takes no revision", async () => {
    await withHub(tiny, async ({ requests }) => {
      const before = process.cwd();
      process.chdir(golden);
      try {
        expect(await hashOf("gpt2")).toBe(await local());
      } finally {
        process.chdir(before);
      }
      expect(requests).toHaveLength(0);
      await expect(loadModel(join(golden, "gpt2"), { revision: "v1" })).rejects.toMatchObject(
        refusal("invalid", /"revision" is for hub ids/),
      );
    });
  });

  test("two calls at once fetch each file once", async () => {
    await withHub(tiny, async ({ requests }) => {
      const [first, second] = await Promise.all([hashOf("someone/tiny"), hashOf("someone/tiny")]);
      expect([first, second]).toEqual([await local(), await local()]);
      expect(requests.filter(({ large }) => large)).toHaveLength(1);
    });
  });
});

describe("a download that breaks", () => {
  test("goes on where it ended, within a call and in a later one", async () => {
    await withHub(tiny, async ({ cache, faults, requests }) => {
      const blobs = join(cache, "models--someone--tiny", "blobs");
      mkdirSync(blobs, { recursive: true });
      writeFileSync(join(blobs, `${sha256}.incomplete`), weights.subarray(0, 100));
      Object.assign(faults, { cutAfter: [1e9, 1e9, 1e9, 500] }); // three small files pass
      expect(await hashOf("someone/tiny")).toBe(await local());
      expect(requests.filter(({ large }) => large).map(({ range }) => range)).toEqual(["bytes=100-", "bytes=600-"]);
      expect(readdirSync(blobs).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
    });
  });

  test("begins anew where the server knows no ranges, or what was there before was wrong", async () => {
    for (const before of [weights.subarray(0, 100), Buffer.from("damaged"), Buffer.alloc(weights.length + 5)])
      await withHub(tiny, async ({ cache, faults }) => {
        const blobs = join(cache, "models--someone--tiny", "blobs");
        mkdirSync(blobs, { recursive: true });
        writeFileSync(join(blobs, `${sha256}.incomplete`), before);
        faults.noRanges = before.length === 100;
        expect(await hashOf("someone/tiny")).toBe(await local());
      });
  });

  test("keeps what came when the hub stops in the middle, and says so", async () => {
    await withHub(tiny, async ({ cache, faults }) => {
      Object.assign(faults, { cutAfter: [1e9, 1e9, 1e9, 500, 0, 0, 0, 0, 0] });
      await expect(loadModel("someone/tiny")).rejects.toMatchObject(
        refusal("network", /^Only 500 of \d+ bytes of "model\.safetensors" came from http.*Call again: it goes on/),
      );
      expect(statSync(join(cache, "models--someone--tiny", "blobs", `${sha256}.incomplete`)).size).toBe(500);
    });
  });

  test("stops by its signal, and by a listener that throws", async () => {
    await withHub(tiny, async () => {
      const stop = new AbortController();
      const call = loadModel("someone/tiny", { signal: stop.signal, onProgress: () => stop.abort() });
      await expect(call).rejects.toMatchObject(refusal("aborted", /aborted/));
      const thrown = new Error("enough");
      await expect(
        loadModel("someone/tiny", {
          onProgress: () => {
            throw thrown;
          },
        }),
      ).rejects.toBe(thrown);
    });
  });
});

describe("refused in a sentence:", () => {
  test.each<[string, object, string, RegExp]>([
    ["gated", { api: { status: 403, code: "GatedRepo" } }, "denied", /only to those who accepted its terms \(403\)/],
    ["no token", { api: { status: 401 } }, "denied", /\(401\)\. Set HF_TOKEN/],
    ["a broken hub", { api: { status: 500 } }, "network", /answers 500 .* Try again later/],
    ["no file", { content: { status: 404, code: "EntryNotFound" } }, "missing", /lists a file .* does not have/],
    ["gated files", { content: { status: 403, code: "GatedRepo" } }, "denied", /accepted its terms/],
    ["other bytes", { instead: (bytes: Buffer) => Buffer.from(bytes).fill(7, 0, 9) }, "corrupt", /its hash differs/],
    ["half a file", { instead: (bytes: Buffer) => bytes.subarray(0, bytes.length / 2) }, "network", /^Only \d+ of/],
    ["too many bytes", { instead: (bytes: Buffer) => Buffer.concat([bytes, bytes]) }, "network", /too many bytes/],
  ])("%s", async (_what, fault, code, words) => {
    await withHub(tiny, async ({ faults }) => {
      Object.assign(faults, fault);
      await expect(loadModel("someone/tiny")).rejects.toMatchObject(refusal(code as "denied", words));
    });
  });

  test("an answer of 500 or 429 that passes is not refused", async () => {
    await withHub(tiny, async ({ faults }) => {
      faults.api = { status: 429, times: 1 };
      expect(await hashOf("someone/tiny")).toBe(await local());
    });
  });

  test("names and repositories that are none", async () => {
    const gguf = {
      id: "someone/gguf",
      commit,
      files: { "a.gguf": Buffer.from("GGUF"), "b.gguf": Buffer.from("GGUF") },
    };
    const adapter = { id: "someone/adapter", commit, files: { "adapter_config.json": Buffer.from("{}") } };
    const flax = {
      id: "someone/flax",
      commit,
      files: { "config.json": Buffer.from("{}"), "flax_model.msgpack": Buffer.from("") },
    };
    await withHub(tiny, async () => {
      for (const [source, words] of [
        ["someone/other", /has no model "someone\/other", or it is private \(401\)/],
        ["models/missing.gguf", /No directory or file .*missing\.gguf.* no hub id/],
        ["../no/such/model", /no hub id/],
        ["a/b/c", /no hub id/],
      ] as const)
        await expect(loadModel(source)).rejects.toMatchObject(refusal("missing", words));
      await expect(loadModel("someone/tiny", { revision: "v3" })).rejects.toMatchObject(
        refusal("missing", /no such revision of the model "someone\/tiny" \(404\)/),
      );
      await expect(loadModel("someone/tiny", { revision: "../x" })).rejects.toMatchObject(refusal("invalid", /branch/));
    });
    await withHub(gguf, async () => {
      await expect(loadModel("someone/gguf")).rejects.toMatchObject(
        refusal("missing", /holds GGUF files\. Name one of them: "someone\/gguf\/a\.gguf", "someone\/gguf\/b\.gguf"/),
      );
      await expect(loadModel("someone/gguf/b.gguf")).rejects.toMatchObject(refusal("corrupt", /b\.gguf/));
    });
    await withHub(adapter, async () => {
      await expect(loadModel("someone/adapter")).rejects.toMatchObject(
        refusal("unsupported", /no adapter_model\.safetensors/),
      );
    });
    await withHub(flax, async () => {
      await expect(loadModel("someone/flax")).rejects.toMatchObject(
        refusal("unsupported", /no weights that can be read/),
      );
    });
  });

  test("no network, with the cache's place; a cached model without tokenizer is used", async () => {
    const { "tokenizer.json": _json, "tokenizer_config.json": _config, ...files } = tiny.files;
    await withHub({ ...tiny, files }, async (world) => {
      await hashOf("someone/tiny");
      await world.close();
      expect(await hashOf("someone/tiny")).toBe(await local());
      await expect(loadModel("someone/other")).rejects.toMatchObject(
        refusal(
          "network",
          /^No connection to http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\), and "someone\/other" is not whole/,
        ),
      );
    });
  });
});
