// A prompt, and the training texts that its answer comes from.
import { createDataset, encode, gradientSimilarity, loadDataset, loadModel, top } from "attribution";

const model = await loadModel("models/my-model");
const train = await encode(model, await loadDataset("jsonl", { path: "train.jsonl" }));
const row = { id: "q", fields: { prompt: "the capital of france is", answer: "paris" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const scores = await gradientSimilarity(model, train, query, { similarity: "cosine" });
for (const { index, score } of top(scores, 0, 5)) console.log(score.toFixed(3), train.texts[index]);
model.close();
