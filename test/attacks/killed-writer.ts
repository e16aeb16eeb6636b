// Writes one of the library's folders in a process of its own, which killed-writers.ts kills: `node --require typescript.cjs killed-writer.ts KIND FOLDER`.
import { join } from "node:path";
import * as attribution from "../../lib";
import { midSizeInstances, midSizeModel } from "../engine/mid-size";

export type Kind = "store" | "append" | "checkpoints" | "model" | "result" | "neurons" | "ekfac";

/** Writes the folder of that kind; made again after a kill, it goes on or begins again. */
export async function write(kind: Kind, folder: string): Promise<void> {
  using model = await midSizeModel();
  const [train, few] = [midSizeInstances(120), midSizeInstances(6)];
  switch (kind) {
    case "store":
      await attribution.buildGradientStore(model, train, folder, { rank: 4, rowsPerShard: 50, batchTokens: 256 });
      break;
    case "append":
      await attribution
        .buildGradientStore(model, few, folder, { rank: 4, rowsPerShard: 4, batchTokens: 256 })
        .catch((error: attribution.AttributionError) => {
          if (error.code !== "mismatch") throw error; // the second part is there already
        });
      if ((await attribution.openGradientStore(folder).catch(() => undefined))?.rows !== 126)
        await attribution.appendToGradientStore(model, train, folder);
      break;
    case "checkpoints":
      (await attribution.fineTune(model, few, { epochs: 2, checkpoints: folder, optimizerState: true })).close();
      break;
    case "model":
      await attribution.saveModel(model, folder).catch((error: attribution.AttributionError) => {
        if (!error.message.includes("new or empty")) throw error; // it was whole
      });
      break;
    case "result":
      await attribution.save(await attribution.activation(model, few), folder);
      await attribution.save(await attribution.activation(model, train), folder);
      break;
    case "neurons":
      await attribution.integratedGradientsTo(folder, model, few, { nodes: 2, blockInstances: 2 });
      break;
    case "ekfac":
      await attribution.fitEkfac(model, few, folder, { parameters: ["score", "layers.0.mlp.up"] });
      break;
  }
}

if (require.main === module) {
  process.stdout.write("began\n");
  void write(process.argv[2] as Kind, join(process.argv[3])).then(() => process.stdout.write("ended\n"));
}
