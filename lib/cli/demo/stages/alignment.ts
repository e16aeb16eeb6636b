// The paper's two alignments: IA-Neurons, the neurons of the most influential training claims, and NA-Instances, the training
// claims whose answers rest on the query's neurons.
import { iaNeurons } from "../../../alignment/ia-neurons";
import { naInstances } from "../../../alignment/na-instances";
import type { NeuronAttribution } from "../../../../types/results";
import type { InstanceStage } from "./instances";
import type { InstanceMethod } from "./method";
import type { NeuronStage } from "./neurons";

export interface AlignmentStage {
  /** Of influence: top 5 neurons of each of the top 10 claims. */
  readonly iaNeurons: NeuronAttribution;
  /** For the neuron tests, by name: rankings long enough for a curve, and the paper's (top neuron of each of the top 100 claims). */
  readonly forTests: readonly (readonly [name: string, attribution: NeuronAttribution])[];
  readonly naInstances: InstanceMethod;
  /** Undefined for a gated MLP. */
  readonly naInstancesPaper: InstanceMethod | undefined;
}

/** Top neurons of each of the top 10 claims in the neuron tests; the library's default, 5, suits comparisons. */
export const neuronsForTests = 20;

/** Pure arithmetic over scores: takes no model and hardly any time. */
export async function align(instances: InstanceStage, neurons: NeuronStage): Promise<AlignmentStage> {
  const influences = instances.influence.attribution;
  const long = { instances: 10, neurons: neuronsForTests };
  return {
    iaNeurons: await iaNeurons(influences, neurons.train),
    forTests: [
      ["IA-Neurons of influence", await iaNeurons(influences, neurons.train, long)],
      ["IA-Neurons of gradient cosine", await iaNeurons(instances.cosine.attribution, neurons.train, long)],
      [
        "IA-Neurons of influence, paper's recipe",
        await iaNeurons(influences, neurons.train, { preset: "paper", purpose: "faithfulness" }),
      ],
    ],
    naInstances: {
      name: "NA-Instances",
      role: "method",
      attribution: await naInstances(neurons.integrated, neurons.train),
    },
    naInstancesPaper: neurons.paper && {
      name: "NA-Instances, paper's recipe",
      role: "method",
      attribution: await naInstances(neurons.paper.queries, neurons.paper.train, { preset: "paper" }),
    },
  };
}
