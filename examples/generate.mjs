// What a model says, and what it says without the five neurons that its next word rests on most.
import { createDataset, encode, generate, integratedGradients, loadModel, top } from "attribution";

const model = await loadModel("models/my-model");
const row = { id: "q", fields: { prompt: "the capital of france is" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const units = top(await integratedGradients(model, query), 0, 5);
const [{ before, after }] = await generate(model, query, units, { kind: "suppress", tokens: 5 });
console.log(await model.tokenizer.decode(before), "|", await model.tokenizer.decode(after));
model.close();
