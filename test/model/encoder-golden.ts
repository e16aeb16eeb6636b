// The golden encoders of test/golden/encoders: tiny models without causality, and the instances they were run on.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInstances, noTarget } from "../../lib/data/instances";
import { loadModel, type LoadModelOptions } from "../../lib/model/load-model";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { golden } from "./golden-cases";
import { goldenTensors, rowsOf, type Tensors } from "./golden-tensors";

const folder = join(golden, "encoders");
export const encoders = readdirSync(folder);

export interface EncoderCase {
  readonly model: Model;
  readonly instances: Instances;
  readonly wanted: Tensors;
}

export const encoderPath = (name: string): string => join(folder, name);

export async function openEncoder(name: string, options: LoadModelOptions = {}): Promise<EncoderCase> {
  const wanted = await goldenTensors("encoders", name, "golden.safetensors");
  const rows = rowsOf(wanted);
  const labels = wanted["labels"].data as Int32Array;
  const types = wanted["tokenTypes"] && rowsOf({ ...wanted, tokens: wanted["tokenTypes"] });
  const masked = (row: Int32Array, at: number) =>
    new Int32Array(row.length)
      .fill(noTarget)
      .fill(labels[at], wanted["places"].data[at], wanted["places"].data[at] + 1);
  const instances = createInstances({
    rows,
    ...(types && { tokenTypes: types }),
    ...(name.endsWith("masked") ? { kind: "maskedLM", targets: rows.map(masked) } : { kind: "classification", labels }),
  });
  return { model: await loadModel(join(folder, name), options), instances, wanted };
}
