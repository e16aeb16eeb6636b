// The attribution methods by name, each called in one way: what studies and the command line choose from.
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution, NeuronAttribution } from "../../types/results";
import { bm25 } from "../instance/bm25";
import { dataInf } from "../instance/data-inf";
import { gradientSimilarity } from "../instance/gradient-similarity";
import { influence } from "../instance/influence";
import { projectedGaussNewton } from "../instance/projected-gauss-newton";
import { randomInstances } from "../instance/random";
import { representationSimilarity } from "../instance/representation-similarity";
import { trak } from "../instance/trak";
import { ablation } from "../neuron/ablation";
import { activation } from "../neuron/activation";
import { attributionPatching } from "../neuron/attribution-patching";
import { conductance } from "../neuron/conductance";
import { gradient } from "../neuron/gradient";
import { gradientTimesActivation } from "../neuron/gradient-times-activation";
import { integratedGradients } from "../neuron/integrated-gradients";
import { logProbabilityIncrease } from "../neuron/log-probability-increase";
import { valueNorm } from "../neuron/value-norm";

/** Options from a file or a command line: each function checks its own. */
export type LooseOptions = Readonly<Record<string, unknown>> & CallOptions;

type InstanceMethod = (
  model: Model,
  train: Instances,
  queries: Instances,
  options: LooseOptions,
) => Promise<InstanceAttribution>;
type NeuronMethod = (model: Model, instances: Instances, options: LooseOptions) => Promise<NeuronAttribution>;

export const instanceMethods = {
  gradientSimilarity,
  influence,
  projectedGaussNewton: (model, train, queries, options) =>
    projectedGaussNewton(model, train, queries, { ...options, topK: undefined }),
  dataInf: (model, train, queries, options) => dataInf(model, train, queries, { ...options, topK: undefined }),
  trak: (model, train, queries, options) => trak(model, train, queries, { ...options, topK: undefined }),
  representationSimilarity,
  bm25: (_model, train, queries, options) => bm25(train, queries, options),
  randomInstances: (_model, train, queries, options) => randomInstances(train, queries, options),
} satisfies Record<string, InstanceMethod>;

export const neuronMethods = {
  integratedGradients,
  gradientTimesActivation,
  activation,
  gradient,
  attributionPatching,
  conductance,
  ablation,
  logProbabilityIncrease,
  valueNorm,
} satisfies Record<string, NeuronMethod>;

export type InstanceMethodName = keyof typeof instanceMethods;
export type NeuronMethodName = keyof typeof neuronMethods;

export const instanceMethodNames = Object.keys(instanceMethods) as [InstanceMethodName, ...InstanceMethodName[]];
export const neuronMethodNames = Object.keys(neuronMethods) as [NeuronMethodName, ...NeuronMethodName[]];

export function instanceMethod(name: InstanceMethodName): InstanceMethod {
  return instanceMethods[name];
}

export function neuronMethod(name: NeuronMethodName): NeuronMethod {
  return neuronMethods[name];
}
