// What was found: refined units, how much questions share, the layers they lie in, and what they write.
import { layerHistogram } from "../../analysis/overlap";
import { quantile } from "../../statistics";
import type { BarPlot, ReportSection } from "../../../types/report";
import { unitKinds } from "./attributing";
import type { FactsFindings } from "./findings";
import { placeOf } from "../../neuron/random-units";
import { siteOf, unitName } from "./units";

export function refinedSection({
  kept: { facts },
  attributed: { units, scores, rows: rowsOf, gap },
  size: { refining, nodes },
  model: { architecture },
}: FactsFindings): ReportSection {
  const rows = unitKinds.flatMap((kind) =>
    facts.map((fact, at) => {
      const places = Array.from(units[kind][at], (index) => placeOf(architecture, index));
      const heads = places.filter(({ site }) => site === "heads").length;
      return [
        kind,
        fact.id,
        fact.answer,
        fact.refining.length,
        scores.targetValues[rowsOf[at][0]],
        places.length - heads,
        heads,
        places.slice(0, 3).map(unitName).join(", "),
      ];
    }),
  );
  const percent = (share: number) => `${Number((100 * share).toFixed(1))} %`;
  const { fractionOfMaximum, share, most, specificFraction, negativeFraction } = refining;
  return {
    title: "Which units carry each fact?",
    explanation: `Integrated gradients score all ${architecture.layers} layers' neurons and heads in every phrasing; a unit is refined where its score is above ${percent(fractionOfMaximum)} of the highest in more than ${percent(share)} of the phrasings (at most ${most} units). Specific units are chosen above ${percent(specificFraction)}, but for those above ${percent(negativeFraction)} in a fact with another answer. Two phrasings of each fact are kept out.`,
    blocks: [
      {
        kind: "table",
        caption: "Refined and specific units",
        columns: [
          { label: "Units" },
          { label: "Fact" },
          { label: "Answer" },
          { label: "Phrasings", digits: 0 },
          { label: "Probability", digits: 3 },
          { label: "Neurons", digits: 0 },
          { label: "Heads", digits: 0 },
          { label: "Best first" },
        ],
        rows,
        notes: [
          `${units.refined.filter(({ length }) => length === 0).length} of the facts have no refined unit and ${units.specific.filter(({ length }) => length === 0).length} no specific one; they are left out of the next section.`,
          `Completeness: with ${nodes} nodes, the scores of a layer's neurons add up to the answer's probability minus that at the baseline; in the first question the median layer misses that by ${(100 * gap.median).toFixed(2)} % of the probability, the worst, layer ${gap.layer}, by ${(100 * gap.worst).toFixed(2)} %.`,
        ],
      },
    ],
  };
}

export function sharedSection({
  shared,
  size: { top },
  model: {
    architecture: { layers, intermediate, heads },
  },
}: FactsFindings): ReportSection {
  return {
    title: "What do questions share?",
    explanation: `The share of their top ${top} units that two questions have in common. Two phrasings of one fact should share more than two facts, if units hold facts rather than wordings.`,
    blocks: [
      {
        kind: "table",
        caption: `Shared among the top ${top} of ${layers * (intermediate + heads)} units`,
        columns: [
          { label: "Two questions" },
          { label: "Pairs", digits: 0 },
          { label: "Shared", unit: "%", digits: 1 },
          { label: "From", unit: "%", digits: 1 },
          { label: "To", unit: "%", digits: 1 },
        ],
        rows: shared.map(({ pairs, count, share }) => [
          pairs,
          count,
          100 * share.mean,
          100 * share.low,
          100 * share.high,
        ]),
        notes: ["Means over questions with 95 % bootstrap intervals."],
      },
      {
        kind: "bars",
        title: "Shared top units",
        x: { label: "Two questions" },
        y: { label: "Share", format: "percent" },
        categories: shared.map(({ pairs }) => pairs),
        series: [{ label: "Shared", values: shared.map(({ share }) => share) }],
      },
    ],
  };
}

export async function layersSection({
  attributed: { scores },
  size: { top },
  model: { architecture },
}: FactsFindings): Promise<ReportSection> {
  const { layers } = architecture;
  const shares = async (site: "neurons" | "heads", k: number): Promise<Float64Array> =>
    (await layerHistogram(siteOf(scores, architecture, site), { k })).shares;
  const few = Math.min(5, layers * architecture.heads);
  const [neurons, heads] = [await shares("neurons", top), await shares("heads", few)];
  const categories = Array.from({ length: layers }, (_, layer) => String(layer));
  const control = { label: "Random units", role: "control" as const, values: categories.map(() => 1 / layers) };
  const bars = (title: string, values: Float64Array): BarPlot => ({
    kind: "bars",
    title,
    x: { label: "Layer (0 reads the words)" },
    y: { label: "Share of chosen units", format: "percent" },
    categories,
    series: [{ label: "Integrated gradients", values: Array.from(values) }, control],
  });
  return {
    title: "In which layers?",
    explanation:
      "The layers in which each question's first units lie, over all questions; random units would lie in all layers alike.",
    blocks: [
      bars(`Layers of the top ${top} neurons`, neurons),
      bars(`Layers of the top ${few} heads`, heads),
      {
        kind: "table",
        caption: "Share of the chosen units",
        columns: [
          { label: "Layers" },
          { label: `Top ${top} neurons`, unit: "%", digits: 1 },
          { label: `Top ${few} heads`, unit: "%", digits: 1 },
          { label: "Random", unit: "%", digits: 1 },
        ],
        rows: fifths(layers).map(([from, to]) => [
          from === to - 1 ? `${from}` : `${from}–${to - 1}`,
          percentOf(neurons, from, to),
          percentOf(heads, from, to),
          (100 * (to - from)) / layers,
        ]),
      },
    ],
  };
}

const percentOf = (shares: Float64Array, from: number, to: number): number =>
  100 * shares.subarray(from, to).reduce((sum, share) => sum + share, 0);

/** The layers in five parts, fewer where there are fewer layers. */
function fifths(layers: number): (readonly [number, number])[] {
  const parts = Math.min(5, layers);
  return Array.from(
    { length: parts },
    (_, at) => [Math.round((at * layers) / parts), Math.round(((at + 1) * layers) / parts)] as const,
  );
}

export function vocabularySection({
  vocabulary: { units, randomRanks },
  kept: { facts },
  model: { architecture },
}: FactsFindings): ReportSection {
  const shown = facts.flatMap((_, fact) =>
    unitKinds.flatMap((kind) => units.filter((unit) => unit.fact === fact && unit.kind === kind).slice(0, 2)),
  );
  const summary = (name: string, ranks: readonly number[]) => {
    const sorted = Float64Array.from(ranks).sort();
    return [
      name,
      ranks.length,
      ...(ranks.length === 0
        ? [null, null, null]
        : [
            quantile(sorted, 0.5),
            ...[10, 100].map((most) => (100 * sorted.filter((rank) => rank <= most).length) / ranks.length),
          ]),
    ];
  };
  const ranks = unitKinds.flatMap((kind) =>
    (["neurons", "heads"] as const).map((site) =>
      summary(
        `${kind} ${site}`,
        units.filter((unit) => unit.kind === kind && unit.site === site).map(({ rank }) => rank),
      ),
    ),
  );
  return {
    title: "What do the units write?",
    explanation: `Each unit's write in the fact's first question (a neuron's value times its output column, a head's output), read alone through the final norm and the unembedding as the tokens it pushes up most. If it writes the answer itself, the answer ranks high among the ${architecture.vocabulary} tokens.`,
    blocks: [
      {
        kind: "table",
        caption: "The best units of each fact",
        columns: [
          { label: "Fact" },
          { label: "Answer" },
          { label: "Units" },
          { label: "Unit" },
          { label: "Score", digits: 3 },
          { label: "Value", digits: 2 },
          { label: "Rank of the answer", digits: 0 },
          { label: "Pushes up" },
        ],
        rows: shown.map((unit) => [
          facts[unit.fact].id,
          facts[unit.fact].answer,
          unit.kind,
          unitName(unit),
          unit.score,
          unit.site === "heads" ? null : unit.value,
          unit.rank,
          unit.tokens.map((token) => token.trim() || "␣").join(" · "),
        ]),
      },
      {
        kind: "table",
        caption: "Where the answer ranks in what units write",
        columns: [
          { label: "Units" },
          { label: "Count", digits: 0 },
          { label: "Median rank", digits: 0 },
          { label: "In the top 10", unit: "%", digits: 1 },
          { label: "In the top 100", unit: "%", digits: 1 },
        ],
        rows: [...ranks, summary("random units of the refined units' layers", randomRanks)],
      },
    ],
  };
}
