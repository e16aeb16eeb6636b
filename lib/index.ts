// The public functions, as a table of contents. Options are documented where each function is.

// data
export { loadDataset, type LoadDatasetOptions, type DatasetName } from "./data/load-dataset";
export { createDataset, selectRows, type CreateDatasetOptions } from "./data/dataset";
export { encode, type EncodeOptions } from "./data/encode";
export { concatInstances, createInstances, selectInstances, type InstanceRows } from "./data/instances";
export { createTokenizer, openTokenizer, saveTokenizer, withPadToken, type TokenizerSource } from "./data/tokenizer";
export type { Part, Template, TemplateFunction, TemplateName } from "./data/templates";

// models
export { type AdapterForm, loadModel, type LoadModelOptions } from "./model/load-model";
export type { AdapterRequest } from "./model/adapters/request";
export { createModel, type CreateModelOptions } from "./model/create-model";
export { saveModel, type SaveModelOptions } from "./model/save-model";
export { evaluate, type EvaluateOptions, type Evaluation } from "./model/evaluate";
export { fineTune, fineTuneWithHistory, type FineTuned, type FineTuneOptions } from "./model/fine-tune";
export { capture, readoutStates, type Captured, type CaptureOptions } from "./model/capture";
export type { BatchOptions } from "./model/batching";
export type { HeadRequest } from "./model/config/head";

// instance attribution
export { gradientSimilarity, type GradientSimilarityOptions } from "./instance/gradient-similarity";
export { influence, type Influence, type InfluenceOptions } from "./instance/influence";
export { fitEkfac, type EkfacOptions } from "./instance/ekfac/ekfac-factors";
export { appendToGradientStore, buildGradientStore, openGradientStore } from "./instance/gradient-store";
export { planGradientStore } from "./instance/store/plan";
export {
  queryFeatures,
  storeSimilarity,
  type QueryFeatureOptions,
  type ScoreOptions,
  type StoreSimilarityOptions,
} from "./instance/store/scores";
export { selfInfluence, type SelfInfluenceOptions, type StoreSelfInfluenceOptions } from "./instance/self-influence";
export { breakdown } from "./instance/breakdown";
export type { BreakdownOptions } from "./instance/breakdown/request";
export { jointAttribution, type JointOptions } from "./instance/joint";
export {
  trainingInfluence,
  type TrainingInfluence,
  type TrainingInfluenceOptions,
  type TrainingRun,
} from "./instance/training-influence";
export { quantityValues, type OwnOptions, type QuantityOptions } from "./instance/quantity";
export { projectedGaussNewton } from "./instance/projected-gauss-newton";
export { dataInf } from "./instance/data-inf";
export { trak } from "./instance/trak";
export { trakCheckpoints, type TrakCheckpointsOptions } from "./instance/checkpoints/trak-checkpoints";
export { tracInCheckpoints, type TracInOptions } from "./instance/checkpoints/tracin-checkpoints";
export { optimizerAwareSimilarity, type OptimizerAwareOptions } from "./instance/checkpoints/optimizer-aware";
export type { Checkpoint, CheckpointOptions } from "./instance/checkpoints/checkpoints";
export type { GradientStoreOptions, ProjectionOptions } from "./instance/store/options";
export type { ProjectedOptions } from "./instance/store/source";
export { representationSimilarity } from "./instance/representation-similarity";
export { bm25, type Bm25Options } from "./instance/bm25";
export { randomInstances, type RandomInstancesOptions } from "./instance/random";
export type { Parameters } from "./instance/gradients/parameters";

// neuron attribution
export { integratedGradients, type IntegratedGradientsOptions } from "./neuron/integrated-gradients";
export {
  integratedGradientsStream,
  integratedGradientsTo,
  type IntegratedGradientsStreamOptions,
  type IntegratedGradientsToOptions,
} from "./neuron/integrated-gradients-stream";
export { activation } from "./neuron/activation";
export { gradient } from "./neuron/gradient";
export { gradientTimesActivation } from "./neuron/gradient-times-activation";
export { ablation, type AblationOptions } from "./neuron/ablation";
export { attributionPatching, type AttributionPatchingOptions } from "./neuron/attribution-patching";
export { conductance, type ConductanceOptions } from "./neuron/conductance";
export { logProbabilityIncrease } from "./neuron/log-probability-increase";
export { valueNorm } from "./neuron/value-norm";
export { inputTokens, type InputTokensOptions } from "./neuron/input-tokens";
export { unitTokens, type UnitTokens, type UnitTokensOptions, type UnitWrite } from "./neuron/unit-tokens";
export { wordTargets } from "./neuron/target-words";
export { refineNeurons, type RefineOptions } from "./neuron/refine";
export { categoricalChange, knowledgeSymmetry, type KnowledgeTestOptions } from "./neuron/knowledge-tests";
export { intervene, type InterveneOptions } from "./neuron/intervene";
export { generate, type GenerateOptions } from "./neuron/generate";
export type { ChangeOptions, UnitList } from "./neuron/changed-units";
export { estimateNeuronMemory, type NeuronMemoryOptions } from "./neuron/memory";
export { meanActivations, type Baseline } from "./neuron/baseline";
export type { NeuronOptions, PositionOptions } from "./neuron/neuron-scores";
export type { TargetOptions } from "./neuron/target";

// alignment
export { iaNeurons, type IaNeuronsOptions } from "./alignment/ia-neurons";
export { naInstances, type NaInstancesOptions } from "./alignment/na-instances";
export { marginal, type MarginalOptions } from "./alignment/marginal";
export { globalRanking, type GlobalRank } from "./alignment/global-ranking";

// faithfulness
export { sufficiency } from "./faithfulness/sufficiency";
export { comprehensiveness } from "./faithfulness/comprehensiveness";
export { deletion } from "./faithfulness/deletion";
export { insertion } from "./faithfulness/insertion";
export { circuit, type CircuitOptions } from "./faithfulness/circuit";
export { circuitCurve, type CircuitCurveOptions } from "./faithfulness/circuit-curve";
export { shapleyValues, type ShapleyOptions } from "./faithfulness/shapley";
export {
  fineTuningTest,
  type FineTuningPoint,
  type FineTuningResult,
  type FineTuningRun,
  type FineTuningTestOptions,
} from "./faithfulness/fine-tuning-test";
export {
  joinSubsetOutputs,
  leaveOneOutOutputs,
  subsetOutputs,
  type OutputOptions,
  type SubsetOutputsOptions,
} from "./faithfulness/subset-outputs";
export {
  removalCurve,
  type RemovalCurve,
  type RemovalCurveOptions,
  type RemovalPoint,
} from "./faithfulness/removal-curve";
export { unitRemovalCurve, type UnitRemovalCurve, type UnitRemovalPoint } from "./faithfulness/unit-removal-curve";
export type { UnitRemovalChange, UnitRemovalCurveOptions } from "./faithfulness/unit-removal-jobs";
export { tailPatch, type TailPatch, type TailPatchOptions } from "./faithfulness/tail-patch";
export type { RetrainingOptions } from "./faithfulness/retraining";
export type { NeuronTestOptions } from "./faithfulness/neuron-test";
export type { NeuronCurveOptions } from "./faithfulness/fraction-curve";

// results
export { top, select, type Selection, type TopOptions } from "./results/top";
export { openNeuronScores, readNeuronRow, readNeuronScores } from "./results/stream/neuron-scores";
export { save } from "./results/save";
export { load, type LoadOptions } from "./results/load";
export { toCsv } from "./results/export/to-csv";
export { toJson } from "./results/export/to-json";
export { toNpy, type NpyOptions } from "./results/export/to-npy";
export { toParquet } from "./results/export/to-parquet";

// analysis
export { distinctCounts, layerHistogram, overlap, type OverlapOptions } from "./analysis/overlap";
export { diversity, diversityCorrelation, type DiversityOptions } from "./analysis/diversity";
export { factTracing, type FactTracingOptions } from "./analysis/fact-tracing";
export {
  leaveOneOutCorrelation,
  linearDatamodelingScore,
  type AgreementOptions,
} from "./analysis/linear-datamodeling-score";
export { tuneDamping, type TuneDampingOptions } from "./analysis/tune-damping";
export { mislabelDetection, type MislabelDetectionOptions } from "./analysis/mislabel-detection";
export { conflicts } from "./analysis/conflicts";
export { sanity } from "./analysis/sanity";
export { relationCoverage, type Relation } from "./analysis/relation-coverage";
export { explainedShare } from "./analysis/explained-share";
export { compareCurves } from "./analysis/compare-curves";

// report
export { renderReport, writeReport } from "./report/render";

// errors and types
export { AttributionError } from "./errors";
export type * from "../types/analysis";
export type * from "../types/architecture";
export type * from "../types/circuits";
export type * from "../types/common";
export type * from "../types/data";
export type * from "../types/knowledge";
export type * from "../types/model";
export type * from "../types/quantity";
export type * from "../types/report";
export type * from "../types/results";
export type * from "../types/store";
