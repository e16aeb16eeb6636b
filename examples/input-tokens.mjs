// Which words of a prompt the prediction rests on: integrated gradients over the embeddings.
import { createDataset, encode, inputTokens, loadModel } from "attribution";

const model = await loadModel("models/my-model");
const row = { id: "q", fields: { prompt: "the capital of france is" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const { scores, tokens } = await inputTokens(model, query, { method: "integratedGradients" });
const words = await model.tokenizer.tokenTexts(tokens);
for (const [at, word] of words.entries()) console.log(scores[at].toFixed(4), word);
model.close();
