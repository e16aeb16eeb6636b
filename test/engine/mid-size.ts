// A model large enough that calls take a while: 4 layers of 256, 4,000 ids; and instances of some 30 tokens for it.
import { createInstances } from "../../lib/data/instances";
import { createModel } from "../../lib/model/create-model";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";

export const midSizeConfig = {
  model_type: "gpt_neox",
  vocab_size: 4000,
  hidden_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  intermediate_size: 1024,
  max_position_embeddings: 128,
  hidden_act: "gelu",
  use_parallel_residual: true,
  rotary_pct: 0.25,
  tie_word_embeddings: false,
};

export const midSizeModel = (): Promise<Model> => createModel(midSizeConfig, { labels: ["a", "b", "c"], seed: 1 });

export function midSizeInstances(size: number, length = 32): Instances {
  const rows = Array.from({ length: size }, (_, i) =>
    Int32Array.from({ length: length - (i % 5) }, (_, t) => (i * 733 + t * 389) % 4000),
  );
  return createInstances({ kind: "classification", rows, labels: rows.map((_, i) => i % 3) });
}
