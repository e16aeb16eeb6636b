// A report of one's own: a page with a table, from plain data.
import { encode, evaluate, loadDataset, loadModel, writeReport } from "attribution";

const model = await loadModel("models/my-model");
const train = await encode(model, await loadDataset("jsonl", { path: "train.jsonl" }));
const { losses } = await evaluate(model, train);
const rows = train.texts.map((text, i) => [text, losses[i]]);
const table = { kind: "table", caption: "Losses", columns: [{ label: "Text" }, { label: "Loss", unit: "nats" }], rows };
const sections = [{ title: "Texts", explanation: "How well the model knows each text.", blocks: [table] }];
await writeReport("report.html", { title: "My model", summary: "What it knows.", facts: [], sections });
model.close();
