// All cases, in the order in which they are listed.
import type { Benchmark } from "./benchmark";
import { ablation } from "./cases/ablation";
import { attributionPatchingCase } from "./cases/attribution-patching";
import { busy } from "./cases/busy";
import { ekfac } from "./cases/ekfac";
import { evaluation } from "./cases/evaluation";
import { exactSimilarity } from "./cases/exact-similarity";
import { gradientFeatures } from "./cases/gradient-features";
import { gradientFeaturesPeers } from "./cases/gradient-features-peers";
import { growth } from "./cases/growth";
import { integratedGradients } from "./cases/integrated-gradients";
import { joint } from "./cases/joint";
import { lissa } from "./cases/lissa";
import { neuronFaithfulness } from "./cases/neuron-faithfulness";
import { storeQuery } from "./cases/store-query";
import { unitInfluence } from "./cases/unit-influence";

export const benchmarks: readonly Benchmark[] = [
  integratedGradients,
  neuronFaithfulness,
  ablation,
  attributionPatchingCase,
  gradientFeatures,
  gradientFeaturesPeers,
  exactSimilarity,
  ekfac,
  lissa,
  joint,
  storeQuery,
  busy,
  growth,
  evaluation,
  unitInfluence,
];
