// The neurons that an answer rests on, and what is left of it without them.
import { createDataset, encode, integratedGradients, intervene, loadModel, top } from "attribution";

const model = await loadModel("models/my-model");
const row = { id: "q", fields: { prompt: "the capital of france is" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const units = top(await integratedGradients(model, query), 0, 5);
const { before, after } = await intervene(model, query, units, { kind: "suppress" });
console.log(units, `probability ${before.targetValues[0]}, without them ${after.targetValues[0]}`);
model.close();
