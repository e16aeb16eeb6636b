// Builds the store of store-instances in a process of its own, which gradient-store.test.ts kills: `node --require typescript.cjs store-build.ts FOLDER`.
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { midSizeInstances, midSizeModel } from "../engine/mid-size";
import { killedOptions, killedRows } from "./store-options";

async function build(folder: string): Promise<void> {
  const model = await midSizeModel();
  await buildGradientStore(model, midSizeInstances(killedRows), folder, {
    ...killedOptions,
    onProgress: ({ done }) => {
      process.stdout.write(`${done}\n`);
    },
  });
  process.stdout.write("finished\n");
}

void build(process.argv[2]);
