// What the neurons that a prediction rests on write: the tokens that each raises most.
import { createDataset, encode, integratedGradients, loadModel, top, unitTokens } from "attribution";

const model = await loadModel("models/my-model");
const row = { id: "q", fields: { prompt: "the capital of france is" }, label: -1 };
const query = await encode(model, await createDataset([row]));
const units = top(await integratedGradients(model, query), 0, 5);
const written = await unitTokens(model, units, { top: 5 });
for (const [at, { tokens }] of written.entries())
  console.log(units[at].layer, units[at].unit, await model.tokenizer.tokenTexts(tokens.map(({ id }) => id)));
model.close();
