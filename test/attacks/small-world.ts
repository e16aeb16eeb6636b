// A model and instances so small that thousands of calls on them take no time.
import * as attribution from "../../lib";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";

const config = {
  model_type: "gpt2",
  vocab_size: 300,
  n_positions: 32,
  n_embd: 8,
  n_layer: 2,
  n_head: 2,
  initializer_range: 0.3,
};

export interface SmallWorld {
  readonly model: Model;
  readonly train: Instances;
  readonly queries: Instances;
  /** Of a language model. */
  readonly prompts: Instances;
}

export async function smallWorld(): Promise<SmallWorld> {
  const model = await attribution.createModel(config, { labels: ["A", "B"] });
  return {
    model,
    train: instancesOf(8),
    queries: instancesOf(3),
    prompts: attribution.createInstances({
      kind: "causalLM",
      rows: [
        [1, 2, 3],
        [4, 5],
      ],
    }),
  };
}

function instancesOf(size: number): Instances {
  const rows = Array.from({ length: size }, (_, i) =>
    Array.from({ length: 3 + (i % 4) }, (__, j) => (i * 7 + j * 13 + size) % 290),
  );
  return attribution.createInstances({ kind: "classification", rows, labels: rows.map((_, i) => i % 2) });
}
