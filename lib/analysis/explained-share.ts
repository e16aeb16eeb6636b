// How much a top list explains: of the row's scores, and of the prediction itself. Pure.
import { integer, onlyKnown } from "../options";
import { everyRow } from "../pacing";
import { bestOf } from "../results/ranking";
import { requireInstanceAttribution, requireNeuronAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { choiceOptionNames, type ChoiceOptions, widthOf } from "./choices";
import type { ExplainedShare } from "../../types/analysis";
import type { Attribution } from "../../types/results";

/**
 * Per row the share of Σ |score| that the k scores of largest size hold, and of neuron scores also Σ of the k highest scores over the
 * target's value F. Scores in the unit of F (integrated gradients, ablation, gradient × activation, …) give a share of the prediction:
 * near 0 for a saturated one, whatever its ranking looks like. Per layer the scores of all units sum to at most the whole of F;
 * over layers the top list's share may pass 1. Instance scores have no F: NaN. Cost: one pass over the scores.
 * @example (await explainedShare(na, { k: 10 })).ofPrediction[0] // 0.002: ten neurons explain 0.2 % of this prediction
 */
export async function explainedShare(attribution: Attribution, options: ChoiceOptions = {}): Promise<ExplainedShare> {
  const k = integer(onlyKnown(options, choiceOptionNames), "k", 10, 1);
  if ((attribution as Partial<Attribution> | undefined)?.kind === "neurons")
    requireNeuronAttribution(attribution, "attribution");
  else requireInstanceAttribution(attribution, "attribution");
  const rows = attribution.kind === "neurons" ? attribution.instances : attribution.queries;
  const most = Math.min(k, widthOf(attribution));
  const [ofScores, ofPrediction] = [new Float64Array(rows), new Float64Array(rows)];
  await everyRow(rows, "explained share", options, (row) => {
    const scores = rowScores(attribution, row);
    ofScores[row] = sumOfTop(scores, most, Math.abs) / scores.reduce((sum, score) => sum + Math.abs(score), 0);
    ofPrediction[row] =
      attribution.kind === "neurons" ? sumOfTop(scores, most, (score) => score) / attribution.targetValues[row] : NaN;
  });
  return Object.freeze({
    k,
    ofScores,
    ofPrediction,
    meanOfScores: meanOfNumbers(ofScores),
    meanOfPrediction: meanOfNumbers(ofPrediction),
  });
}

/** Σ of the k highest values of a function of the scores. */
function sumOfTop(scores: Float32Array, k: number, of: (score: number) => number): number {
  const values = new Float64Array(k);
  const best = bestOf(new Int32Array(k), values);
  for (let index = 0; index < scores.length; index++) best.offer(index, of(scores[index]));
  return values.reduce((sum, value) => sum + value, 0);
}

/** The mean of those that are numbers; NaN for none. */
function meanOfNumbers(values: Float64Array): number {
  const numbers = values.filter((value) => !Number.isNaN(value));
  return numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}
