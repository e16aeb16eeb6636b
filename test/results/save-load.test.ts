import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { load } from "../../lib/results/load";
import { save } from "../../lib/results/save";
import { sealed, type Manifest } from "../../lib/results/manifest";
import { besideName } from "../../lib/storage/partial";
import { readTensors, writeSafetensors } from "../../lib/storage/tensors";
import { instancesOf, neuronsOf, provenanceOf } from "./sample";
import { rejects } from "./refuses";
import type { NeuronFaithfulness } from "../../types/results";
import { shortestHold } from "../data/event-loop";

/** The promise of DESIGN: no call holds the event loop longer. Some slack, because the test machine has other work. */
const longestHold = 20 * 3; // ms

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "results-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const at = (name = "result") => join(folder, name);

const influences = instancesOf([
  [1, -2.5, NaN],
  [-Infinity, 0, 3],
]);
const neurons = neuronsOf(
  [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
  ],
  2,
  { completenessGap: Float64Array.of(0.1, -0.2, 0, 1e-9), targetValues: Float64Array.of(NaN, 0.25) },
);
const estimate = { mean: 0.5, low: NaN, high: Infinity };
const faithfulness: NeuronFaithfulness = {
  test: "sufficiency",
  site: "heads",
  aopc: -0,
  randomAopc: -Infinity,
  provenance: provenanceOf("sufficiency"),
  points: [
    {
      r: 1,
      probabilityChange: estimate,
      changedPredictions: estimate,
      randomProbabilityChange: estimate,
      randomChangedPredictions: estimate,
    },
  ],
};

describe("save over a saved result", () => {
  const other = instancesOf([[7, 8, 9]]);
  const files = async () => (await readdir(at())).sort();

  test("can be stopped at any of its steps: the old result is loaded until the new one is, and the next save tidies up", async () => {
    await save(influences, at());
    await save(other, at("other"));
    const { sha256 } = JSON.parse(await readFile(join(at("other"), "manifest.json"), "utf8")) as Manifest;
    // As a call that was killed leaves it: the new arrays lie beside the old ones …
    const next = join(at(), `arrays-${sha256.slice(0, 16)}.safetensors`);
    await copyFile(join(at("other"), "arrays.safetensors"), next);
    expect(await load(at())).toEqual(influences);
    // … then the manifest is the new one.
    await copyFile(join(at("other"), "manifest.json"), join(at(), "manifest.json"));
    expect(await load(at())).toEqual(other);
    await save(neurons, at());
    expect(await load(at())).toEqual(neurons);
    expect(await files()).toEqual(["arrays.safetensors", "manifest.json"]);
  });

  test("replaces it while it is loaded again and again", async () => {
    await save(influences, at());
    let isOver = false;
    const loads = (async () => {
      const seen = new Set<number>();
      while (!isOver) seen.add((await load(at(), { kind: "instances" })).queries);
      return seen;
    })();
    for (let i = 0; i < 10; i++) await save(i % 2 === 0 ? other : influences, at());
    isOver = true;
    expect([...(await loads)].every((queries) => queries === 1 || queries === 2)).toBe(true);
  });

  test("by two calls at once ends with the result of one, whole", async () => {
    await save(influences, at());
    const answers = await Promise.allSettled([save(other, at()), save(neurons, at())]);
    for (const answer of answers)
      if (answer.status === "rejected")
        expect(answer.reason).toMatchObject({
          code: "invalid",
          message: expect.stringMatching(/Another call/) as string,
        });
    const last = await load(at());
    expect([other, neurons].some((each) => JSON.stringify(each) === JSON.stringify(last))).toBe(true);
    expect(await files()).toEqual(["arrays.safetensors", "manifest.json"]);
  });

  test("removes the folders of killed calls, and leaves those of living ones", async () => {
    const living = besideName(at());
    const dead = living.replace(/-(\d+)-(\d+)-/, "-$1-1-"); // a process of that number that began at another time
    for (const path of [living, dead]) await mkdir(path);
    await save(influences, at());
    expect((await readdir(folder)).sort()).toEqual(["result", basename(living)].sort());
  });
});

describe("save and load", () => {
  test.each([
    ["instances", influences],
    ["neurons", neurons],
    ["sufficiency", faithfulness],
  ])("%s come back as they were, frozen", async (kind, result) => {
    await save(result, at());
    const loaded = await load(at(), { kind });
    expect(loaded).toEqual(result);
    expect(Object.isFrozen(loaded)).toBe(true);
    expect(Object.isFrozen(loaded.provenance.options)).toBe(true);
  });

  test("long lists of ids leave the manifest and come back", async () => {
    const ids = Array.from({ length: 5000 }, (_, index) => `id ${index} é 🌍\n`);
    const long = instancesOf([ids.map((_, index) => index)], { trainIds: ids });
    await save(long, at());
    expect((await load(at(), { kind: "instances" })).trainIds).toEqual(ids);
    expect((await readFile(join(at(), "manifest.json"))).length).toBeLessThan(5000);
  });

  test("the manifest names schema, axes, method, options, seed, hashes, versions, unit and sign", async () => {
    await save(neurons, at());
    const manifest = JSON.parse(await readFile(join(at(), "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({
      schema: 1,
      kind: "neurons",
      axes: { scores: ["instances", "layers", "units"] },
      arrays: { scores: { shape: [2, 2, 2] } },
      result: {
        unit: "test unit",
        provenance: {
          method: "integratedGradients",
          options: { seed: 42 },
          modelHash: "model",
          dataHashes: { train: "t" },
          versions: { libtorch: "2.13.0" },
        },
      },
    });
    expect(manifest.sign).toMatch(/raises the target/);
  });

  test("saving replaces a saved result and leaves nothing beside it", async () => {
    await save(influences, at());
    await save(neurons, at());
    expect((await load(at())).kind).toBe("neurons");
    expect(await readdir(folder)).toEqual(["result"]);
    expect((await readdir(at())).sort()).toEqual(["arrays.safetensors", "manifest.json"]);
  });

  test("a folder with other files is left alone", async () => {
    await mkdir(at());
    await writeFile(join(at(), "notes.txt"), "mine");
    await rejects("invalid", () => save(influences, at()), /holds other files/);
    expect(await readFile(join(at(), "notes.txt"), "utf8")).toBe("mine");
  });

  test("a path through a file is refused in words", async () => {
    await writeFile(at("file"), "x");
    await rejects("invalid", () => save(influences, at("file/result")), /Cannot write/);
    await rejects("invalid", () => save(influences, at("file")), /Cannot write/);
    expect(await readdir(folder)).toEqual(["file"]);
  });

  test("results that do not fit their kind are refused before anything is written", async () => {
    await rejects("invalid", () => save({ ...influences, train: 4 } as never, at()), /"trainIds"/);
    await rejects("invalid", () => save({ ...faithfulness, run: () => 1 } as never, at()), /plain data/);
    await rejects("invalid", () => save({ ...faithfulness, $tensor: 1 } as never, at()), /\$tensor/);
    await rejects("invalid", () => save({ kind: "instances" } as never, at()), /provenance/);
    expect(await readdir(folder)).toEqual([]);
  });

  test("a large result is written and read without holding the event loop", async () => {
    const large = neuronsOf([[]], 1, {
      scores: new Float32Array(40 * 24 * 16384).map((_, index) => index),
      instances: 40,
      layers: 24,
      units: 16384,
      instanceIds: Array.from({ length: 40 }, (_, index) => `t${index}`),
      targetValues: new Float64Array(40),
      targetLabels: new Int32Array(40),
    });
    let loaded = large;
    let attempt = 0;
    const held = await shortestHold(async () => {
      const path = at(`large-${attempt++}`);
      await save(large, path);
      loaded = await load(path, { kind: "neurons" });
    });
    expect(held).toBeLessThan(longestHold);
    expect(loaded.scores.at(-1)).toBe(large.scores.at(-1));
  });
});

/** A manifest as an edit sees it. */
type Edited = Record<string, unknown> & { result: Record<string, unknown> & { provenance: Record<string, unknown> } };

describe("load refuses", () => {
  const editManifest = async (edit: (manifest: Edited) => void, seal: "resealed" | "as it is" = "resealed") => {
    await save(influences, at());
    const file = join(at(), "manifest.json");
    const manifest = JSON.parse(await readFile(file, "utf8"));
    edit(manifest);
    await writeFile(file, JSON.stringify(seal === "resealed" ? sealed(manifest as Manifest) : manifest));
  };

  test("a folder without a result", () => rejects("missing", () => load(at("none")), /none/));

  test("a manifest of another program, and one of a newer schema", async () => {
    await editManifest((manifest) => {
      manifest.format = "else";
    });
    await rejects("invalid", () => load(at()), /"else"/);
    await save(influences, at("newer"));
    await writeFile(join(at("newer"), "manifest.json"), JSON.stringify({ format: "attribution-result", schema: 2 }));
    await rejects("unsupported", () => load(at("newer")), /schema 2/);
  });

  test("a manifest that was edited, cut short or is no JSON object", async () => {
    await editManifest((manifest) => {
      manifest.sign = "other";
    }, "as it is");
    await rejects("corrupt", () => load(at()), /changed/);
    await truncate(join(at(), "manifest.json"), 100);
    await rejects("corrupt", () => load(at()));
    await writeFile(join(at(), "manifest.json"), "[]");
    await rejects("corrupt", () => load(at()));
  });

  test("arrays with one changed byte, cut short, missing, or of another result", async () => {
    await save(influences, at());
    const file = join(at(), "arrays.safetensors");
    const bytes = await readFile(file);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(file, bytes);
    await rejects("corrupt", () => load(at()), /"scores"/);
    await truncate(file, bytes.length - 4);
    await rejects("corrupt", () => load(at()));
    await save(neurons, at("other"));
    await writeFile(file, await readFile(join(at("other"), "arrays.safetensors")));
    await rejects("corrupt", () => load(at()), /belongs to another/);
    await rm(file);
    await rejects("missing", () => load(at()));
  });

  test.each<[string, (manifest: Edited) => void]>([
    [
      "an array that is not stored",
      (manifest) => {
        manifest.result.scores = { $tensor: "other" };
      },
    ],
    [
      "an array named as an inherited property",
      (manifest) => {
        manifest.result.scores = { $tensor: "toString" };
      },
    ],
    [
      "a count that does not fit",
      (manifest) => {
        manifest.result.train = 7;
      },
    ],
    [
      "a list of arrays that is none",
      (manifest) => {
        manifest.arrays = [null];
      },
    ],
    [
      "a result that is a number",
      (manifest) => {
        Object.assign(manifest, { result: 5 });
      },
    ],
    [
      "a kind that is not the result's",
      (manifest) => {
        manifest.kind = "neurons";
      },
    ],
    [
      "texts instead of hashes",
      (manifest) => {
        manifest.result.provenance.dataHashes = { train: 1 };
      },
    ],
    [
      "a field named $else",
      (manifest) => {
        manifest.result.inner = { a: 1, $else: 1 };
      },
    ],
    [
      "deep nesting",
      (manifest) => {
        let deep: unknown = 1;
        for (let i = 0; i < 200; i++) deep = [deep];
        manifest.result.deep = deep;
      },
    ],
  ])("a resealed manifest with %s", async (_, edit) => {
    await editManifest(edit);
    const manifest = JSON.parse(await readFile(join(at(), "manifest.json"), "utf8"));
    await relink(manifest);
    await rejects("corrupt", () => load(at()));
  });

  test("a prototype in the manifest pollutes nothing", async () => {
    await editManifest((manifest) => {
      manifest.result = JSON.parse('{"__proto__": {"polluted": 1}}');
    });
    await relink(JSON.parse(await readFile(join(at(), "manifest.json"), "utf8")));
    await rejects("corrupt", () => load(at()));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  /** Makes the arrays belong to the edited manifest, so that the edit itself is what gets refused. */
  async function relink(manifest: Manifest): Promise<void> {
    const file = join(at(), "arrays.safetensors");
    const { tensors } = await readTensors(file);
    await writeSafetensors(file, tensors, { kind: "instances", manifest: manifest.sha256 });
  }

  test("a result of another kind, model, data or option, by name", async () => {
    await save(influences, at());
    await rejects("mismatch", () => load(at(), { kind: "neurons" }), /"kind" "neurons" but it has "instances"/);
    await rejects("mismatch", () => load(at(), { expected: { modelHash: "x" } }), /"modelHash"/);
    await rejects(
      "mismatch",
      () => load(at(), { expected: { dataHashes: { train: "x" } } }),
      /"dataHashes.train" "x" but it has "t"/,
    );
    await rejects(
      "mismatch",
      () => load(at(), { expected: { options: { seed: 60 } } }),
      /"options.seed" 60 but it has 42/,
    );
    await rejects("unknown", () => load(at(), { sort: "x" } as never), /sort/);
    await expect(
      load(at(), { kind: "instances", expected: { method: "influence", options: { seed: 42 } } }),
    ).resolves.toBeDefined();
  });
});
