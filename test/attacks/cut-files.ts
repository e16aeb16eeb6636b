// Files of loaded models and open stores that are cut, overwritten or replaced while calls read them.
import { cpSync, ftruncateSync, openSync, closeSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as attribution from "../../lib";
import type { Random } from "../../lib/random";
import { midSizeInstances, midSizeModel } from "../engine/mid-size";
import { type Attack, pick, type Try } from "./attack";

function hurt(path: string, random: Random): void {
  const descriptor = openSync(path, "r+");
  const { size } = statSync(path);
  if (random.below(2) === 0) ftruncateSync(descriptor, random.below(size));
  else writeSync(descriptor, Buffer.alloc(4096, random.below(256)), 0, 4096, random.below(Math.max(1, size - 4096)));
  closeSync(descriptor);
}

let copies = 0;

export const cutFiles: Attack = {
  name: "cut files",
  prepare: async (folder) => {
    const model = await midSizeModel();
    const instances = midSizeInstances(12);
    const before = (await attribution.evaluate(model, instances)).losses;
    await attribution.saveModel(model, join(folder, "model"));
    await attribution.buildGradientStore(model, instances, join(folder, "store"), { rank: 4, rowsPerShard: 3 });
    return async (random): Promise<Try> => {
      const copy = join(folder, `copy-${copies++}`);
      const tidy = (): void => rmSync(copy, { recursive: true, force: true });
      // Another model, and this process, are as they were.
      const check = async (): Promise<string | undefined> => {
        tidy();
        const after = (await attribution.evaluate(model, instances)).losses;
        return after.every((loss, i) => loss === before[i]) ? undefined : "another model's losses changed";
      };
      if (random.below(3) === 0) {
        cpSync(join(folder, "store"), copy, { recursive: true });
        const store = await attribution.openGradientStore(copy);
        const features = await attribution.queryFeatures(model, instances, store);
        const call = async () => {
          const scores = attribution.storeSimilarity(store, features);
          if (random.below(2) === 0) await new Promise(setImmediate);
          hurt(join(copy, pick(random, store.shards).file), random);
          await scores;
        };
        return { what: "a store's shard", call, check };
      }
      cpSync(join(folder, "model"), copy, { recursive: true });
      const loaded = await attribution.loadModel(copy);
      const file = join(copy, "model.safetensors");
      const calls = [
        () => attribution.evaluate(loaded, instances, { batchTokens: 1 }),
        () => attribution.integratedGradients(loaded, instances, { nodes: 2 }),
        () => attribution.gradientSimilarity(loaded, instances, instances),
        () => attribution.saveModel(loaded, `${copy}-saved`),
        async () => (await attribution.fineTune(loaded, instances, { epochs: 1 })).close(),
        async () => (await attribution.loadModel(copy)).close(),
      ];
      const at = random.below(calls.length);
      const call = async () => {
        const answer = calls[at]();
        const wait = random.below(20);
        await new Promise((resolve) => {
          setTimeout(resolve, wait);
        });
        hurt(file, random);
        await answer.finally(() => {
          loaded.close();
          rmSync(`${copy}-saved`, { recursive: true, force: true });
        });
      };
      return { what: `a model's weights, call ${at}`, call, check };
    };
  },
};
