// What a model would say next: the five most probable tokens, from the logits.
import { createDataset, encode, evaluate, loadModel } from "attribution";

const model = await loadModel("models/my-model");
const row = { id: "q", fields: { prompt: "the capital of france is" }, label: -1 };
const { logits } = await evaluate(model, await encode(model, await createDataset([row])), { logits: true });
const best = Array.from(logits.keys())
  .sort((a, b) => logits[b] - logits[a])
  .slice(0, 5);
const words = await model.tokenizer.tokenTexts(best);
for (const [at, id] of best.entries()) console.log(logits[id].toFixed(2), words[at]);
model.close();
