// The paper's two alignments: IA-Neurons of every instance method, and NA-Instances of the first neuron method. Pure, so not kept.
import type { InstanceAttribution, NeuronAttribution } from "../../../types/results";
import { iaNeurons, type IaNeuronsOptions } from "../../alignment/ia-neurons";
import { naInstances } from "../../alignment/na-instances";
import { keyOf } from "../keeper";
import type { AttributeStage, Named } from "./attribute";

export interface AlignStage {
  /** Every ranking of training rows: the methods, NA-Instances, the controls. */
  readonly instances: readonly Named<InstanceAttribution>[];
  readonly naInstances: Named<InstanceAttribution>;
  /** The neuron methods, then IA-Neurons of each instance method, that of random instances last. */
  readonly neurons: readonly Named<NeuronAttribution>[];
  readonly heads: Named<NeuronAttribution>;
  /** IA-Neurons of the first instance method as they are compared: top 5 neurons of each of the top 10 instances. */
  readonly iaNeurons: Named<NeuronAttribution>;
}

/** Neurons of each instance in the neuron tests, so that rankings are long enough; the library's default, 5, suits comparisons. */
export const neuronsForTests = 20;

export function alignStage({ instances, neurons, heads, train }: AttributeStage): AlignStage {
  const byNeurons: Named<InstanceAttribution> = {
    name: "NA-Instances",
    role: "method",
    source: derived("naInstances", [neurons[0].source.key, train.key], async () =>
      naInstances(await neurons[0].source.get(), await train.get()),
    ),
  };
  const asNeurons = (
    { name, role, source }: Named<InstanceAttribution>,
    options: IaNeuronsOptions,
  ): Named<NeuronAttribution> => ({
    name: `IA-Neurons of ${name}`,
    role,
    source: derived("iaNeurons", [source.key, train.key, options], async () =>
      iaNeurons(await source.get(), await train.get(), options),
    ),
  });
  const long = { instances: 10, neurons: neuronsForTests };
  const methods = instances.filter(({ role }) => role === "method");
  const random = instances.filter(({ name }) => name === "Random");
  return {
    instances: [...methods, byNeurons, ...instances.filter(({ role }) => role === "control")],
    naInstances: byNeurons,
    neurons: [...neurons, ...[...methods, ...random].map((each) => asNeurons(each, long))],
    heads,
    iaNeurons: asNeurons(instances[0], {}),
  };
}

/** Computed once, when it is asked for. */
function derived<T>(what: string, from: unknown, work: () => Promise<T>): Named<T>["source"] {
  let value: Promise<T> | undefined;
  return { key: keyOf("align", [what, from]), get: () => (value ??= work()) };
}
