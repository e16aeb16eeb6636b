// The instances of test/golden/neuron and what is expected of them.
import { createInstances } from "../../lib/data/instances";
import type { HeadKind } from "../../types/architecture";
import type { Instances } from "../../types/data";
import { goldenTensors, groupsOf, rowsOf, type Tensors } from "../model/golden-tensors";

export async function neuronGolden(
  name: string,
  kind: HeadKind,
): Promise<{ readonly instances: Instances; readonly wanted: Tensors }> {
  const wanted = await goldenTensors("neuron", `${name}.safetensors`);
  const groups = kind === "choice" ? groupsOf(wanted) : undefined;
  return { wanted, instances: createInstances({ kind, rows: rowsOf(wanted), groups }) };
}
