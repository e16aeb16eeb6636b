// Every kind of file that the library reads, damaged: by bytes, and by manifests with a right seal that say what cannot be.
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as attribution from "../../lib";
import type { Random } from "../../lib/random";
import { ggufFile } from "../model/gguf-files";
import { golden } from "../model/golden-cases";
import { type Attack, pick, type Try } from "./attack";
import { damaged, forged } from "./damage";
import { smallWorld } from "./small-world";

interface Target {
  readonly folder: string;
  /** Reads what lies in a copy of the folder, as far as the library goes. */
  readonly use: (folder: string) => Promise<unknown>;
}

async function targetsIn(folder: string): Promise<Readonly<Record<string, Target>>> {
  const { model, train, queries, prompts } = await smallWorld();
  const at = (name: string): string => join(folder, name);
  const loaded = async (path: string): Promise<void> => {
    using again = await attribution.loadModel(path);
    const instances = again.architecture.head.kind === "causalLM" ? prompts : train;
    await attribution.evaluate(again, instances);
  };
  await attribution.saveModel(model, at("model"));
  cpSync(join(golden, "gpt2"), at("golden"), { recursive: true });
  cpSync(join(golden, "format-bin-fp16"), at("bin"), { recursive: true });
  cpSync(join(golden, "format-safetensors-sharded"), at("shards"), { recursive: true });
  cpSync(ggufFile("llama"), join(at("gguf"), "model.gguf"));
  await attribution.buildGradientStore(model, train, at("store"), { rank: 2, rowsPerShard: 4 });
  await attribution.fitEkfac(model, train, at("ekfac"));
  await attribution.save(await attribution.gradientSimilarity(model, train, queries), at("result"));
  await attribution.integratedGradientsTo(at("neurons"), model, queries, { nodes: 2, blockInstances: 2 });
  (await attribution.fineTune(model, train, { epochs: 1, checkpoints: at("run"), optimizerState: true })).close();
  return {
    model: { folder: at("model"), use: loaded },
    golden: { folder: at("golden"), use: loaded },
    bin: { folder: at("bin"), use: loaded },
    shards: { folder: at("shards"), use: loaded },
    gguf: { folder: at("gguf"), use: (path) => loaded(join(path, "model.gguf")) },
    store: {
      folder: at("store"),
      use: async (path) => {
        const store = await attribution.openGradientStore(path);
        const features = await attribution.queryFeatures(model, queries, store);
        await attribution.storeSimilarity(store, features, { preconditioner: "gaussNewton" });
      },
    },
    rebuilt: {
      folder: at("store"),
      use: (path) => attribution.buildGradientStore(model, train, path, { rank: 2, rowsPerShard: 4 }),
    },
    ekfac: {
      folder: at("ekfac"),
      use: (path) => attribution.influence(model, train, queries, { inverse: "ekfac", factors: path }),
    },
    result: { folder: at("result"), use: (path) => attribution.load(path) },
    neurons: {
      folder: at("neurons"),
      use: async (path) => attribution.readNeuronScores(await attribution.openNeuronScores(path)),
    },
    checkpoints: {
      folder: join(at("run"), "epoch-1"),
      use: (path) => attribution.optimizerAwareSimilarity([path], train, queries),
    },
  };
}

/** The manifest with another value somewhere, sealed again as its writer would. */
function reseal(path: string, random: Random): void {
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  const field = ["store", "factors", "request"].find((name) => name in manifest);
  const changed = forged(manifest, random) as Record<string, unknown>;
  const sealedPart =
    field === "request"
      ? [changed["request"], changed["blocks"]]
      : field !== undefined
        ? changed[field]
        : ["format", "schema", "kind", "sign", "axes", "arrays", "result"].map((name) => changed[name]);
  changed["sha256"] = createHash("sha256")
    .update(JSON.stringify(sealedPart) ?? "")
    .digest("hex");
  writeFileSync(path, JSON.stringify(changed));
}

let copies = 0;

export const damagedFiles: Attack = {
  name: "damaged files",
  prepare: async (folder) => {
    const targets = await targetsIn(folder);
    return async (random): Promise<Try> => {
      await Promise.resolve();
      const name = pick(random, Object.keys(targets));
      const target = targets[name];
      const copy = join(folder, `copy-${copies++}`);
      cpSync(target.folder, copy, { recursive: true });
      const files = readdirSync(copy).filter((file) => statSync(join(copy, file)).isFile());
      const file = pick(random, files);
      const isForged = file === "manifest.json" && random.below(3) > 0;
      const done = isForged ? "forged" : damaged(readFileSync(join(copy, file)), random);
      if (typeof done === "string") reseal(join(copy, file), random);
      else writeFileSync(join(copy, file), done.bytes);
      return {
        what: `${name}: ${file} ${typeof done === "string" ? done : done.name}`,
        call: () => target.use(copy).finally(() => rmSync(copy, { recursive: true, force: true })),
      };
    };
  },
};
