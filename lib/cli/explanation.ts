// What `attribution explain` found of a prompt: on the terminal, as a page, and as records of a table.
import type { InstanceCard, InstanceEntry, Report } from "../../types/report";
import { unitName } from "./commands/neurons";
import type { Context } from "./context";

/** What one prompt's prediction comes from. */
export interface Explanation {
  readonly prompt: string;
  readonly prediction: string;
  readonly probability: number;
  /** Empty without data or a store. */
  readonly instances: readonly { readonly id: string; readonly score: number; readonly text?: string }[];
  readonly units: Readonly<Record<"neurons" | "heads", readonly ExplainedUnit[]>>;
  /** In the prompt's order; empty where they were not asked for. */
  readonly inputTokens: readonly { readonly text: string; readonly score: number }[];
}

export interface ExplainedUnit {
  readonly layer: number;
  readonly unit: number;
  readonly score: number;
  /** What the unit writes, best first; empty where the model is no language model. */
  readonly tokens: readonly string[];
}

/** What a score of 1 means, by list. */
export interface Wording {
  readonly instances: string;
  readonly neurons: string;
  readonly inputTokens: string;
}

/** One record of the table for each entry of each list. */
export function recordsOf({ prompt, prediction, instances, units, inputTokens: inputs }: Explanation, at: number) {
  const record = (kind: string) => (name: string, text: string, score: number, rank: number) => ({
    ...{ prompt: at + 1, prompt_text: prompt, prediction, kind, rank: rank + 1, name, text, score },
  });
  const unit = (site: "neurons" | "heads") =>
    units[site].map(({ layer, unit: index, score, tokens }, rank) =>
      record(site === "heads" ? "head" : "neuron")(
        unitName({ site, units: 0 }, layer, index),
        tokens.map((token) => token.trim()).join(" · "),
        score,
        rank,
      ),
    );
  return [
    ...instances.map(({ id, text = "", score }, rank) => record("training instance")(id, text, score, rank)),
    ...unit("neurons"),
    ...unit("heads"),
    ...inputs.map(({ text, score }, place) => record("input token")(`token ${place + 1}`, text, score, place)),
  ];
}

export function showExplanation(
  { terminal }: Context,
  { prompt, prediction, probability, instances, units, inputTokens: inputs }: Explanation,
  wording: Wording,
): void {
  terminal.heading(`\n${prompt} → ${prediction} (${(100 * probability).toFixed(1)} %)`);
  if (instances.length > 0)
    terminal.table({
      caption: "Training instances",
      columns: [{ label: "Score" }, { label: "Id" }, { label: "Text" }],
      rows: instances.map(({ score, id, text = "" }) => [score, id, text]),
      notes: [`Score: ${wording.instances}.`],
    });
  for (const site of ["neurons", "heads"] as const)
    terminal.table({
      caption: site === "neurons" ? "Neurons" : "Attention heads",
      columns: [
        { label: "Score" },
        { label: "Unit" },
        ...(units[site].some(({ tokens }) => tokens.length > 0) ? [{ label: "Writes" }] : []),
      ],
      rows: units[site].map((each) => [
        each.score,
        unitName({ site, units: 0 }, each.layer, each.unit),
        each.tokens.map((token) => token.trim()).join(" · "),
      ]),
      notes: [`Score: ${wording.neurons}.${explainedShare(units[site], probability)}`],
    });
  if (inputs.length > 0)
    terminal.table({
      caption: "Input tokens, in the prompt's order",
      columns: [{ label: "Score" }, { label: "Token" }],
      rows: inputs.map(({ score, text }) => [score, text]),
      notes: [`Score: ${wording.inputTokens}. Positive: the token speaks for the prediction.`],
    });
}

/** A saturated prediction must not look explained: what the listed units add up to, beside the probability. */
function explainedShare(units: readonly ExplainedUnit[], probability: number): string {
  const sum = units.reduce((total, { score }) => total + score, 0);
  return ` These ${units.length} add up to ${sum.toPrecision(2)}; the probability is ${probability.toPrecision(3)}.`;
}

export function reportOf(source: string, explanations: readonly Explanation[], wording: Wording): Report {
  return {
    title: `Where predictions of ${source} come from`,
    summary: `${explanations.length} ${explanations.length === 1 ? "prediction" : "predictions"} with the training instances, neurons, heads and input tokens that each comes from.`,
    facts: [{ name: "Model", value: source }],
    sections: [
      {
        title: "Predictions",
        explanation: "Each list is sorted by score, best first. A positive score supports the prediction.",
        blocks: [{ kind: "instances", cards: explanations.map((each, at) => cardOf(each, at, wording)) }],
      },
    ],
  };
}

function cardOf(
  { prompt, prediction, probability, instances, units, inputTokens: inputs }: Explanation,
  at: number,
  wording: Wording,
): InstanceCard {
  const entries = instances.map(({ id, score, text }): InstanceEntry => ({ id, score, text: text ?? id }));
  const sum = inputs.reduce((total, { score }) => total + score, 0);
  const shaded: InstanceEntry = { id: "prompt", text: prompt, score: sum, words: inputs };
  return {
    id: `prompt ${at + 1}`,
    text: prompt,
    prediction: { label: prediction, probability },
    instances: [
      ...(inputs.length === 0 ? [] : [{ method: "Input tokens", unit: wording.inputTokens, entries: [shaded] }]),
      ...(entries.length === 0 ? [] : [{ method: "Training instances", unit: wording.instances, entries }]),
    ],
    neurons: [
      { method: "Neurons", unit: wording.neurons, entries: units.neurons },
      { method: "Attention heads", unit: wording.neurons, entries: units.heads },
    ].map((list) => ({
      ...list,
      entries: list.entries.map(({ layer, unit: index, score }) => ({ layer, unit: index, score })),
    })),
  };
}
