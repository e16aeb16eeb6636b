// Scores as a table for pandas, DuckDB or a spreadsheet.
import { createDataset, encode, gradientSimilarity, loadDataset, loadModel, toCsv } from "attribution";

const model = await loadModel("models/my-model");
const train = await encode(model, await loadDataset("jsonl", { path: "train.jsonl" }));
const row = { id: "q", fields: { prompt: "the capital of france is", answer: "paris" }, label: -1 };
const query = await encode(model, await createDataset([row]));
await toCsv(await gradientSimilarity(model, train, query, { similarity: "cosine" }), "scores.csv");
console.log("Wrote scores.csv");
model.close();
