// The training run itself: the exact derivative of a query's loss after training by the weight of each training instance.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import type { CallOptions } from "../../types/common";
import { AttributionError, expected } from "../errors";
import { type FineTuneOptions, fineTuneParams, withAdapter } from "../model/fine-tune";
import { handleOf } from "../model/model";
import { libtorchVersion, native, runNative } from "../native";
import { boolean, leastAboveZero, memoryOf, number, oneOf, onlyKnown, seedOf } from "../options";
import { provenance } from "../provenance";
import { checkPair } from "./gradients/features";

/** A fine-tuning run that can be made again: fineTune(model, train, options). */
export interface TrainingRun {
  /** The model before training. */
  readonly model: Model;
  readonly train: Instances;
  /** As fineTune takes them; without checkpoints, and with `keep: "last"` beside `evaluation`. */
  readonly options?: FineTuneOptions;
  /** What the run ended in, to make sure that it is the same run: weights that differ are refused. @default not compared */
  readonly trained?: Model;
}

export interface TrainingInfluenceOptions extends CallOptions {
  /** A causal LM's loss of a query: summed over its target tokens, or their mean. (Training has the mean.) @default "sum" */
  readonly reduction?: "sum" | "mean";
  /** States of the run, gradients and derivatives at a time: bytes, or text such as "2 GB"; the batches' graphs come on top. @default "1 GB" */
  readonly memory?: number | string;
  /** Whether to measure the run's metasmoothness, by two more runs. @default true */
  readonly metasmoothness?: boolean;
  /** Metasmoothness: by how much the instances' weights move in a step. @default 0.1 */
  readonly smoothnessStep?: number;
  /** Metasmoothness: of the direction, ±1 for each instance. @default 42 */
  readonly seed?: number;
}

/** Scores with what the run was like. */
export interface TrainingInfluence extends InstanceAttribution {
  readonly run: {
    readonly steps: number;
    /** Steps that were made forwards: the run and its replays. */
    readonly stepsMade: number;
    /** [step] mean loss of the step's instances; [query] loss of the trained model. */
    readonly losses: Float64Array;
    readonly queryLosses: Float64Array;
    /** Within −1–1; near 1 the scores predict retraining, near 0 they do not. NaN where it was not measured. */
    readonly metasmoothness: number;
  };
}

const names = ["signal", "onProgress", "reduction", "memory", "metasmoothness", "smoothnessStep", "seed"];

/**
 * score(q, i) = −∂L(q; θ_T(w)) / ∂wᵢ at the run's own weights w (1), wᵢ the factor of instance i's loss in every step that it is part of and
 * θ_T the weights at the end of training. Exact: reverse mode through every step of the run (AdamW or SGD, schedule, clipping,
 * accumulation, weight decay and the very dropout masks), not a model of it. Positive: more of i in training lowers the query's loss.
 * Leaving i out changes L(q) by about +score.
 * Unit: nats of query loss per unit of training weight. Source: Ilyas & Engstrom 2025 (MAGIC, arXiv 2504.16430); metasmoothness:
 * Engstrom et al. 2025 (arXiv 2503.13751), Σ|Δ₁| sign(Δ₁Δ₂) / Σ|Δ₁| over the trained weights for two equal moves of w.
 * AdamW's √v̂ has no derivative at 0: where a weight's second moment is 0 the call is refused ("unsupported") unless the run has an
 * `epsilonRoot`, e.g. 1e-8. "memory" where not even a state and one query's derivatives fit; "mismatch" where `trained` is not what the run ends in.
 * Cost, in training runs: the run, at most one replay (none where the memory holds all states), one that all queries share, and two for
 * each query; two more for metasmoothness. Memory: 3 vectors of the parameters for a kept state, 4 for a step of a replayed segment, 4 for a query.
 * @returns scores [query, train]
 * @example const run = { model: base, train, options: { epochs: 2, learningRate: 1e-4, epsilonRoot: 1e-8 } };
 * const exact = await trainingInfluence(run, queries);
 * console.log(exact.run.metasmoothness, top(exact, 0, 5));
 */
export async function trainingInfluence(
  run: TrainingRun,
  queries: Instances,
  options: TrainingInfluenceOptions = {},
): Promise<TrainingInfluence> {
  const given = onlyKnown(options, names);
  const { model, options: training = {} } = requireRun(run);
  return withAdapter(model, training, (learning) => replay({ ...run, model: learning }, queries, given));
}

async function replay(
  run: TrainingRun,
  queries: Instances,
  given: Readonly<Record<string, unknown>>,
): Promise<TrainingInfluence> {
  const { model, train, options: training = {} } = run;
  checkPair(model, train, queries);
  const params = {
    training: fineTuneParams(training, train, model),
    reduction: oneOf(given, "reduction", "sum", ["sum", "mean"]),
    memoryBytes: memoryOf(given, "1 GB"),
    metasmoothness: boolean(given, "metasmoothness", true),
    smoothnessStep: number(given, "smoothnessStep", 0.1, leastAboveZero, 10),
    seed: seedOf(given),
  };
  const { hash, scores, losses, queryLosses, metasmoothness, stepsMade } = await runNative(
    (control) => native().trainingInfluence(handleOf(model), train, queries, params, control),
    given as TrainingInfluenceOptions,
  );
  requireTrained(run, hash);
  return Object.freeze({
    kind: "instances",
    scores: Float32Array.from(scores),
    queries: queries.size,
    train: train.size,
    queryIds: queries.ids,
    trainIds: train.ids,
    unit: "nats of query loss per unit of training weight",
    provenance: provenance({
      method: "trainingInfluence",
      options: { ...shownRun(params.training, model), reduction: params.reduction },
      model: { hash, dtype: model.dtype },
      data: { train, queries },
      libtorch: libtorchVersion(),
    }),
    run: Object.freeze({ steps: losses.length, stepsMade, losses, queryLosses, metasmoothness }),
  });
}

/** Refuses what is no run, and runs whose end is not one function of the instances' weights. */
function requireRun(run: TrainingRun): TrainingRun {
  if (typeof run !== "object" || run === null || !("model" in run) || !("train" in run))
    throw expected("run", "{ model, train, options }, as fineTune takes them", run);
  onlyKnown(run, ["model", "train", "options", "trained"]);
  const { checkpoints, evaluation, keep } = run.options ?? {};
  if (checkpoints !== undefined)
    throw new AttributionError("invalid", `The run is made again and writes no "checkpoints": leave them out`);
  if (evaluation !== undefined && keep !== "last")
    throw new AttributionError(
      "unsupported",
      `The best epoch is a choice, which has no derivative: train with keep: "last"`,
    );
  return run;
}

function requireTrained({ trained }: TrainingRun, hash: string): void {
  if (trained === undefined || trained.hash === hash) return;
  throw new AttributionError(
    "mismatch",
    "The run does not end in the weights of `trained`, so it cannot be replayed: it was made with other options or instances, in another order, by another libtorch or with other threads",
  );
}

/** The run's options as resolved, and the model that it began with. */
function shownRun(
  { instanceWeights, ...training }: ReturnType<typeof fineTuneParams>,
  { hash }: Model,
): Record<string, unknown> {
  const shown = Object.entries(training).filter(
    ([name]) => !/^(checkpoint|firstMoment|secondMoment|batchTokens|keep)/.test(name),
  );
  return {
    ...Object.fromEntries(shown),
    base: hash,
    instanceWeights: instanceWeights.length > 0 ? Array.from(instanceWeights) : null,
  };
}
