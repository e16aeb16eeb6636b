// Refined neurons: what several phrasings of one fact have in common, without what other prompts share too.
import type { CallOptions } from "../../types/common";
import type { NeuronAttribution, RefinedNeuron, Site } from "../../types/results";
import { AttributionError, expected } from "../errors";
import { number, onlyKnown } from "../options";
import { inSlices, pacedBy, type Steps } from "../pacing";
import { requireNeuronAttribution } from "../results/require";
import { rowScores, selectIndices, type Selection } from "../results/top";

export interface RefineOptions extends CallOptions {
  /** p: a unit must be selected in more than this share of the rows. @default 0.5 */
  readonly share?: number;
  /** What each row selects. @default { fractionOfMaximum: 0.2 } (Dai et al.) */
  readonly select?: Selection;
  /**
   * Prompts of other facts: units refined from them are left out. Of a list, each is refined by itself, one fact each, so what any
   * of the other facts rests on is left out; as one attribution, only what more than a share p of all its rows select.
   */
  readonly negatives?: NeuronAttribution | readonly NeuronAttribution[];
  /** What each row of `negatives` selects: the higher its threshold, the fewer units are left out. @default as `select` */
  readonly negativeSelect?: Selection;
}

/**
 * Units that are selected in more than a share p of the rows, one row being one phrasing of the same fact, minus the units so
 * refined from `negatives`. Most units that a fact's phrasings share serve its relation, not the fact: with a list of other facts
 * as negatives the fact's own are left (`npm run demo -- facts` tests both kinds). Largest share first, then highest score;
 * `share` is the share of rows, `score` the mean over all rows.
 * Pure. Source: Dai et al. 2022 (knowledge neurons). Cost: one pass over the scores.
 * @example await refineNeurons(await integratedGradients(model, phrasings), { negatives: await integratedGradients(model, others) })
 */
export async function refineNeurons(
  attributions: NeuronAttribution | readonly NeuronAttribution[],
  options: RefineOptions = {},
): Promise<RefinedNeuron[]> {
  const given = onlyKnown(options, optionNames);
  const share = number(given, "share", 0.5, 0, 1);
  const selection = options.select ?? { fractionOfMaximum: 0.2 };
  const phrasings = listOf("attributions", attributions);
  const negatives = options.negatives === undefined ? [] : listOf("negatives", options.negatives);
  if (negatives.length === 0 && given["negativeSelect"] !== undefined)
    throw new AttributionError("missing", '"negativeSelect" needs "negatives"');
  requireOneSite([...phrasings, ...negatives]);
  const pace = pacedBy(options.signal);
  const excluded = new Set<number>();
  for (const other of negatives) {
    const shares = await inSlices(sharesOf([other], options.negativeSelect ?? selection), pace);
    for (const [index, found] of shares) if (found > share) excluded.add(index);
  }
  const [{ units, site }] = phrasings;
  const refined: RefinedNeuron[] = [];
  for (const [index, found] of await inSlices(sharesOf(phrasings, selection), pace)) {
    if (found <= share || excluded.has(index)) continue;
    refined.push(placed({ index, share: found, score: meanScore(phrasings, index) }, units, site));
    await pace();
  }
  return refined.sort((a, b) => b.share - a.share || b.score - a.score || a.index - b.index);
}

const optionNames = [
  "share",
  "select",
  "negatives",
  "negativeSelect",
  "signal",
  "onProgress",
] as const satisfies readonly (keyof RefineOptions)[];

function placed(
  { index, share, score }: { readonly index: number; readonly share: number; readonly score: number },
  units: number,
  site: Site,
): RefinedNeuron {
  return Object.freeze({ index, layer: Math.floor(index / units), unit: index % units, site, share, score });
}

/** Share of all rows that select each unit; a unit that none selects is not listed. */
function* sharesOf(attributions: readonly NeuronAttribution[], selection: Selection): Steps<Map<number, number>> {
  const rows = attributions.reduce((sum, { instances }) => sum + instances, 0);
  const counts = new Map<number, number>();
  for (const attribution of attributions) {
    for (let row = 0; row < attribution.instances; row++, yield) {
      for (const index of selectIndices(rowScores(attribution, row), selection))
        counts.set(index, (counts.get(index) ?? 0) + 1);
    }
  }
  return new Map([...counts].map(([index, count]) => [index, count / rows]));
}

function meanScore(attributions: readonly NeuronAttribution[], index: number): number {
  let [sum, rows] = [0, 0];
  for (const attribution of attributions) {
    for (let row = 0; row < attribution.instances; row++) sum += rowScores(attribution, row)[index];
    rows += attribution.instances;
  }
  return sum / rows;
}

function listOf(name: string, value: NeuronAttribution | readonly NeuronAttribution[]): readonly NeuronAttribution[] {
  const list = (Array.isArray(value) ? value : [value]) as readonly NeuronAttribution[];
  if (list.length === 0) throw expected(name, "a NeuronAttribution or a non-empty list of them", value);
  list.forEach((one, at) => requireNeuronAttribution(one, Array.isArray(value) ? `${name}[${at}]` : name));
  if (list.some((one) => one.instances < 1))
    throw new AttributionError("invalid", `Expected "${name}" to have at least one row each`);
  return list;
}

function requireOneSite(list: readonly NeuronAttribution[]): void {
  const words = ({ layers, units, site }: NeuronAttribution) => `${layers} × ${units} ${site}`;
  const other = list.find((one) => words(one) !== words(list[0]));
  if (other !== undefined)
    throw new AttributionError(
      "mismatch",
      `Expected attributions over the same units but received ${words(list[0])} and ${words(other)}`,
    );
}
