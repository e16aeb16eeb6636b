// A report with every kind of block and made-up numbers, for tests and for looking at: `node` has no part in what it says.
import { createRandom } from "../../lib/random";
import type { BarPlot, HeatMap, InstanceCards, LinePlot, Report, ReportTable } from "../../types/report";

const random = createRandom(42);
const methods = [
  "Gradient similarity",
  "Influence (CG)",
  "NA-Instances",
  "Representation similarity",
  "BM25",
  "Random",
];
const interval = (mean: number, half: number) => ({ mean, low: mean - half, high: mean + half });

const recall: ReportTable = {
  kind: "table",
  caption: "Recall@10 and mean reciprocal rank of the training claims that state the fact",
  columns: [
    { label: "Method" },
    { label: "Recall@10", digits: 3 },
    { label: "MRR", digits: 3 },
    { label: "Time", unit: "s" },
  ],
  rows: methods.map((method, at) => [
    method,
    interval(0.62 - at * 0.11, 0.05),
    interval(0.51 - at * 0.09, 0.06),
    at === 5 ? null : 12.5 / (at + 1),
  ]),
  notes: ["Brackets: 95 % bootstrap interval over 40 queries."],
};

const curve = (title: string, yLabel: string, sign: number): LinePlot => ({
  kind: "lines",
  title,
  caption: "Mean over 40 queries; bands are 95 % bootstrap intervals.",
  x: { label: "Units changed (r)", scale: "log" },
  y: { label: yLabel },
  series: [
    ["Integrated gradients", 0.8],
    ["IA-Neurons", 0.5],
    ["Random units", 0.06],
  ].map(([label, strength], at) => ({
    label: String(label),
    role: at === 2 ? ("control" as const) : ("method" as const),
    points: [1, 2, 5, 10, 20, 50, 100].map((r) => {
      const y = (sign * Number(strength) * Math.log(r + 1)) / Math.log(101) + random.normal() * 0.01;
      return { x: r, y, low: y - 0.04, high: y + 0.04 };
    }),
  })),
});

const layers: BarPlot = {
  kind: "bars",
  title: "Where the top 10 neurons lie",
  x: { label: "Layer" },
  y: { label: "Share of chosen units", format: "percent" },
  categories: Array.from({ length: 12 }, (_, layer) => String(layer)),
  series: [
    ["Integrated gradients", 2],
    ["IA-Neurons", 1.2],
  ].map(([label, slope]) => {
    const values = Array.from(
      { length: 12 },
      (_, layer) => Math.exp((Number(slope) * layer) / 6) * (0.7 + 0.6 * random.uniform()),
    );
    const sum = values.reduce((a, b) => a + b);
    return { label: String(label), values: values.map((value) => value / sum) };
  }),
};

const accuracy: BarPlot = {
  kind: "bars",
  title: "Fine-tuning on part of the data",
  caption: "Mean of three seeds with interval.",
  x: { label: "Share of training instances" },
  y: { label: "Accuracy", format: "percent" },
  categories: ["10 %", "30 %", "50 %", "70 %", "90 %"],
  series: [
    ["Most influential", 0.05],
    ["Least influential", -0.06],
    ["Random", 0],
  ].map(([label, offset], at) => ({
    label: String(label),
    role: at === 2 ? ("control" as const) : ("method" as const),
    values: [0.55, 0.62, 0.7, 0.74, 0.78].map((value) => interval(value + Number(offset), 0.03)),
  })),
};

const agreement: HeatMap = {
  kind: "heatMap",
  title: "Rank correlation of the methods",
  x: { label: "Method" },
  y: { label: "Method" },
  valueLabel: "Spearman",
  columns: methods.map((method) => method.split(" ")[0]),
  rows: methods,
  values: methods.map((_, row) =>
    methods.map((__, column) => (row === column ? 1 : Math.round(100 * (Math.cos(row * 2 + column * 2) * 0.6)) / 100)),
  ),
};

const perLayer: HeatMap = {
  kind: "heatMap",
  title: "Mean score per layer and query",
  x: { label: "Layer" },
  y: { label: "Query" },
  valueLabel: "mean score",
  columns: Array.from({ length: 12 }, (_, layer) => String(layer)),
  rows: Array.from({ length: 8 }, (_, query) => `query ${query}`),
  values: Array.from({ length: 8 }, () =>
    Array.from({ length: 12 }, (_, layer) => (layer === 3 ? null : random.uniform() * layer)),
  ),
};

const cards: InstanceCards = {
  kind: "instances",
  cards: [0, 1].map((at) => ({
    id: `query-${at}`,
    text:
      at === 0
        ? "Vienna is the seat of government of Austria."
        : "The people of الأردن <b>speak</b> Greek & nothing else.",
    prediction: { label: "Supported", probability: 0.934 },
    label: at === 0 ? "Supported" : "Refuted",
    instances: methods.slice(0, 5).map((method, index) => ({
      method,
      ...(index === 4 ? { unit: "nats" } : {}),
      entries: [0, 1, 2].map((rank) => ({
        id: `t${rank}`,
        label: "Supported",
        text: [
          "The capital of Austria is Vienna.",
          "Austria borders Hungary, Slovakia, Slovenia, Italy, Germany, Liechtenstein, Switzerland and the Czech Republic.",
          "Wien ist die Hauptstadt.",
        ][(rank + index) % 3],
        score: (3 - rank) * 10 ** (index - 3),
        isTrue: (rank + index) % 3 === 0,
        ...(index === 1
          ? {
              words: ["The", " capital", " of", " Austria", " is", " Vienna", "."].map((text, t) => ({
                text,
                score: ((t % 3) - 0.5) * 10 ** (index - 3),
              })),
            }
          : {}),
      })),
    })),
    neurons: ["Integrated gradients", "IA-Neurons"].map((method) => ({
      method,
      unit: "probability",
      entries: [0, 1, 2, 3, 4].map((rank) => ({
        layer: 11 - rank,
        unit: random.below(3072),
        score: ((rank === 4 ? -1 : 1) * 0.2) / (rank + 1),
      })),
    })),
  })),
};

export const sampleReport: Report = {
  title: "What the model knows about countries",
  summary:
    "A decoder of 4.2 million parameters was trained on claims about countries, then asked 40 claims in words it had not seen. This page shows which training claims and which neurons its answers come from, and how faithful each attribution is.",
  facts: [
    { name: "Model", value: "decoder, 4 layers, 4.2 million parameters, float32" },
    { name: "Model fingerprint", value: "9f2c4b7a1d3e" },
    { name: "Data", value: "world-countries 5.1.0: 2,140 training claims, 40 queries" },
    { name: "Seeds", value: "42, 60, 73" },
    { name: "Versions", value: "attribution 0.1.0, libtorch 2.13.0" },
    { name: "Time", value: "3:12 min on 2 cores" },
  ],
  sections: [
    {
      title: "Fact tracing",
      explanation:
        "The training claims that state each fact are known, so each method can be judged by how high it ranks them.",
      blocks: [recall],
    },
    {
      title: "Faithfulness of neurons",
      explanation:
        "Sufficiency keeps only the top r units and zeroes the rest; comprehensiveness zeroes the top r. A faithful attribution stands clear of as many random units.",
      blocks: [
        curve("Sufficiency", "Change of probability", 1),
        curve("Comprehensiveness", "Change of probability", -1),
        { kind: "text", text: "A change of 0 leaves the prediction as it was." },
      ],
    },
    {
      title: "Layers",
      explanation: "Which layers hold the units that the methods choose.",
      blocks: [layers, perLayer],
    },
    {
      title: "Fine-tuning test",
      explanation:
        "The base model is tuned again on the most and the least influential part of the training data, and on a random part.",
      blocks: [accuracy, agreement],
    },
    {
      title: "Queries",
      explanation: "A few queries in full, with the training claims and units that each method ranks first.",
      blocks: [cards],
    },
  ],
};
