// Predictions, probabilities and losses of instances.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { native, runNative } from "../native";
import { boolean, onlyKnown } from "../options";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "./batching";
import { checkFit } from "./fit";
import { handleOf } from "./model";

export interface EvaluateOptions extends BatchOptions {
  /** Return logits, [row, label] (language models: [row, vocabulary], at the readout position). @default false */
  readonly logits?: boolean;
}

export interface Evaluation {
  /** [instance] cross-entropy in nats: of the label, or summed over a causal LM's target tokens; NaN where there is none, or where it is not finite. */
  readonly losses: Float64Array;
  /** [instance] most probable class, choice, or next token; −1 where a logit is not finite. */
  readonly predictions: Int32Array;
  /** [instance] its probability; NaN where a logit is not finite. */
  readonly probabilities: Float64Array;
  /** [instance] target tokens (causal LM), else 1 with a label and 0 without. */
  readonly targetTokens: Int32Array;
  /** Share of right predictions among instances with a label; NaN without any. */
  readonly accuracy: number;
  /** Mean loss per target token (or label); NaN without any, or where the loss of an instance is not finite. */
  readonly meanLoss: number;
  /** With `logits`: row-major, see EvaluateOptions. */
  readonly logits?: Float32Array;
}

/**
 * Runs the model on every instance. The class scores are read at the readout position: the last token of a row; in encoders the mask or
 * the first token. A listwise instance takes the softmax over its rows.
 * @example const { accuracy } = await evaluate(model, await encode(model, dataset));
 */
export async function evaluate(model: Model, instances: Instances, options?: EvaluateOptions): Promise<Evaluation> {
  const given = onlyKnown(options, [...batchOptionNames, "logits"]);
  checkFit(model, instances, "instances");
  const params = { batchTokens: batchTokensOf(given), logits: boolean(given, "logits", false) };
  const labels = instances.labels.slice(); // the caller's may change meanwhile
  const result = await runNative((control) => native().evaluate(handleOf(model), instances, params, control), options);
  return Object.freeze({
    ...result,
    accuracy: accuracyOf(result.predictions, labels),
    meanLoss: meanLossOf(result.losses, result.targetTokens),
  });
}

function accuracyOf(predictions: Int32Array, labels: Int32Array): number {
  let known = 0;
  let right = 0;
  labels.forEach((label, i) => {
    if (label < 0) return;
    known++;
    if (predictions[i] === label) right++;
  });
  return right / known;
}

function meanLossOf(losses: Float64Array, targets: Int32Array): number {
  let sum = 0;
  let count = 0;
  losses.forEach((loss, i) => {
    if (targets[i] === 0) return;
    sum += loss;
    count += targets[i];
  });
  return sum / count;
}
