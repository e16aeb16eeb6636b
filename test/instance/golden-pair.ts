// The very small classifier of test/golden/influence with its training instances and queries.
import { createInstances } from "../../lib/data/instances";
import type { Parameters } from "../../lib/instance/gradients/parameters";
import type { ComputeType } from "../../types/architecture";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { goldenTensors, open, rowsOf, type Tensors } from "../model/golden-tensors";

export interface GoldenPair {
  readonly model: Model;
  readonly train: Instances;
  readonly queries: Instances;
  readonly wanted: Tensors;
}

export async function goldenPair(dtype: ComputeType): Promise<GoldenPair> {
  const wanted = await goldenTensors("influence", "expected.safetensors");
  const instances = (role: string) =>
    createInstances({
      kind: "classification",
      rows: rowsOf(wanted, `${role}.`),
      labels: wanted[`${role}.labels`].data,
      ids: Array.from(wanted[`${role}.labels`].data, (_, i) => `${role} ${i}`),
    });
  return {
    wanted,
    model: await open("influence", { dtype }),
    train: instances("train"),
    queries: instances("queries"),
  };
}

/** The selections of the golden file, in the library's words. */
export const selections: Readonly<Record<string, Parameters>> = {
  head: "head",
  mlp: "mlp",
  mlpLast: ["layers.1.mlp.*"],
  attention: "attention",
  linear: "linear",
};
export const selectionNames = Object.keys(selections);
