// In which layers the chosen units lie.
import { layerHistogram } from "../../../analysis/overlap";
import type { NeuronAttribution } from "../../../../types/results";
import type { BarPlot, ReportSection } from "../../../../types/report";
import type { Findings } from "../stages/all";

const k = 10;

export async function layersSection({
  neurons,
  aligned,
  subject: {
    model: {
      architecture: { layers },
    },
  },
}: Findings): Promise<ReportSection> {
  const categories = Array.from({ length: layers }, (_, layer) => String(layer));
  const share = async (label: string, attribution: NeuronAttribution, most: number) => ({
    label,
    values: Array.from((await layerHistogram(attribution, { k: most })).shares),
  });
  const chance = { label: "Random units", role: "control" as const, values: categories.map(() => 1 / layers) };
  const plot = (title: string, series: BarPlot["series"]): BarPlot => ({
    kind: "bars",
    title,
    x: { label: "Layer (0 reads the words)" },
    y: { label: "Share of chosen units", format: "percent" },
    categories,
    series: [...series, chance],
  });
  const heads = Math.min(3, neurons.heads.units);
  return {
    title: "Where in the network?",
    explanation:
      "The layers in which the units that each method ranks first lie, over all queries; random units would lie in all layers alike.",
    blocks: [
      plot(`Layers of the top ${k} neurons`, [
        await share("Integrated gradients (NA)", neurons.integrated, k),
        await share("IA-Neurons", aligned.iaNeurons, k),
        await share("Activation", neurons.activation, k),
      ]),
      plot(`Layers of the top ${heads} heads`, [await share("Integrated gradients (heads)", neurons.heads, heads)]),
    ],
  };
}
