// All cases, in the order in which they are listed.
import type { Benchmark } from "./benchmark";
import { ablation } from "./cases/ablation";
import { evaluation } from "./cases/evaluation";
import { integratedGradients } from "./cases/integrated-gradients";
import { neuronFaithfulness } from "./cases/neuron-faithfulness";

export const benchmarks: readonly Benchmark[] = [integratedGradients, neuronFaithfulness, ablation, evaluation];
