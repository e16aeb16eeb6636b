// Which neurons speak for one word against another: a target given by words.
import { createDataset, encode, integratedGradients, loadModel, top } from "attribution";

const model = await loadModel("models/my-model");
const row = { id: "q", fields: { prompt: "the capital of france is" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const [[paris], [rome]] = await model.tokenizer.encode(["paris", "rome"]);
const scores = await integratedGradients(model, query, { target: "logit", of: [paris], contrast: [rome] });
console.log(top(scores, 0, 5));
model.close();
