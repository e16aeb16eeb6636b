// The golden fixtures of test/golden: tiny models and what transformers computes on them.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import type { HeadRequest } from "../../lib/model/config/head";
import { readTensors, type TensorData } from "../../lib/storage/tensors";
import type { Instances } from "../../types/data";
import type { HeadKind } from "../../types/architecture";

export const golden = join(__dirname, "..", "golden");

/** Model cases: directories with a model and the logits expected of it (influence/ has a model, and gradients instead). */
export const cases = readdirSync(golden).filter(
  (name) => name !== "influence" && existsSync(join(golden, name, "config.json")),
);

/** transformers has no choice head: those fixtures are saved as classifiers of one label. */
export const headOf = (name: string): HeadRequest | undefined =>
  name.endsWith("choice") ? { kind: "choice" } : undefined;

export interface Expected {
  readonly instances: Instances;
  /** [row, label] or, of a causal LM, [row, vocabulary] at the last token. */
  readonly logits: Float32Array;
  /** [instance] cross-entropy, summed over next tokens or of the label. */
  readonly losses: TensorData;
}

export async function expectedOf(name: string, kind: HeadKind): Promise<Expected> {
  const { tensors } = await readTensors(join(golden, name, "golden.safetensors"));
  const [tokens, offsets] = [tensors["tokens"].data as Int32Array, tensors["rowOffsets"].data as Int32Array];
  const rows = Array.from({ length: offsets.length - 1 }, (_, row) => tokens.slice(offsets[row], offsets[row + 1]));
  const groups =
    kind === "choice"
      ? Array.from(tensors["groupOffsets"].data.slice(1), (end, i) => end - tensors["groupOffsets"].data[i])
      : undefined;
  const { data, shape } = tensors["logits"];
  const width = shape[1] ?? 1;
  const last = (row: number) => data.slice((offsets[row + 1] - 1) * width, offsets[row + 1] * width);
  const logits =
    kind === "causalLM" ? Float32Array.from(rows.flatMap((_, row) => Array.from(last(row)))) : (data as Float32Array);
  const instances = createInstances({ kind, rows, groups, labels: tensors["labels"]?.data });
  return { instances, logits, losses: tensors["losses"].data };
}

/** Largest difference, as a share of the largest logit: DESIGN §5 allows 1e-4. */
export function relativeDifference(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let [most, largest] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    most = Math.max(most, Math.abs(actual[i] - wanted[i]));
    largest = Math.max(largest, Math.abs(wanted[i]));
  }
  return actual.length === wanted.length ? most / largest : NaN;
}
export const logitTolerance = 1e-4;
