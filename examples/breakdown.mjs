// Which words of a training text an answer comes from: one score, split over its tokens.
import { breakdown, createDataset, encode, gradientSimilarity, loadDataset, loadModel } from "attribution";

const model = await loadModel("models/my-model");
const train = await encode(model, await loadDataset("jsonl", { path: "train.jsonl" }));
const row = { id: "q", fields: { prompt: "the capital of france is", answer: "paris" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const scores = await gradientSimilarity(model, train, query);
const [{ tokens, parts }] = (await breakdown(model, train, query, scores, { by: "trainToken", topK: 1 })).pairs;
for (const [at, word] of (await model.tokenizer.tokenTexts(tokens)).entries()) console.log(parts[at].toFixed(3), word);
model.close();
