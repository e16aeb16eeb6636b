// The training texts that support an answer most, and those that oppose it most.
import { createDataset, encode, influence, loadDataset, loadModel, top } from "attribution";

const model = await loadModel("models/my-model");
const train = await encode(model, await loadDataset("jsonl", { path: "train.jsonl" }));
const row = { id: "q", fields: { prompt: "the capital of france is", answer: "paris" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const scores = await influence(model, train, query, { inverse: "ekfac", parameters: "mlp" });
const shown = ({ index, score }) => `${score.toFixed(2)} ${train.texts[index]}`;
for (const order of ["proponents", "opponents"]) console.log(order, top(scores, 0, 3, { order }).map(shown));
model.close();
