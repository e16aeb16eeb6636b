// A valid call of every public function over a tiny world: what misuse.test.ts changes one argument of at a time.
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as attribution from "../../lib";
import type { Instances } from "../../types/data";

export type Call = readonly unknown[];

const tokenizerFolder = join(__dirname, "../data/byte-bpe");
const config = {
  model_type: "gpt2",
  vocab_size: 300,
  n_positions: 32,
  n_embd: 8,
  n_layer: 2,
  n_head: 2,
  initializer_range: 0.3,
};

/** Calls that have more than one form, beside the form under the function's own name. */
export const otherForms = ["selfInfluence of a model", "breakdown of checkpoints"] as const;

/** How many instances the calls get. Retraining takes batches of `batchSize`. */
export interface Sizes {
  readonly train: number;
  readonly queries: number;
  readonly batchSize: number;
}

/** Names of all public functions, from the list of exports itself. */
export const publicFunctions = Object.keys(attribution).filter((name) => /^[a-z]/.test(name));

/** Runs a call to its end, whichever way it answers, and closes a model that it returns. */
export async function runCall(name: string, given: Call): Promise<unknown> {
  const functions = attribution as unknown as Readonly<Record<string, (...given: Call) => unknown>>;
  const answer = await functions[name.split(" ")[0]](...given);
  if (name === "integratedGradientsStream") for await (const block of answer as AsyncGenerator) void block;
  const model = (name === "fineTuneWithHistory" ? (answer as { model: unknown }).model : answer) as
    { close?: () => void } | undefined;
  model?.close?.();
  return answer;
}

/** Arguments of a valid call by the function's name. Folders that calls write into are new each time. */
export async function everyCall(
  directory: string,
  sizes: Sizes = { train: 6, queries: 3, batchSize: 8 },
): Promise<ReadonlyMap<string, () => Call>> {
  mkdirSync(directory, { recursive: true });
  let made = 0;
  const folder = (): string => join(directory, `new-${made++}`);
  const a = attribution;
  const tokenizer = await a.openTokenizer(tokenizerFolder);
  const model = await a.createModel(
    { ...config, vocab_size: Math.max(300, tokenizer.size) },
    { labels: ["A", "B"], tokenizer },
  );
  const lm = await a.createModel(config);
  const [train, queries] = [instancesOf(sizes.train, "t"), instancesOf(sizes.queries, "q")];
  const prompts = a.createInstances({ kind: "causalLM", rows: [[1, 2, 3]] });
  const rows = Array.from({ length: sizes.train }, (_, i) => ({ id: `${i}`, fields: { text: "a b" }, label: i % 2 }));
  const dataset = await a.createDataset(rows, { labels: ["A", "B"] });
  const [modelFolder, run, storeFolder, scoresFolder, resultFolder, file] = [
    folder(),
    folder(),
    folder(),
    folder(),
    folder(),
    join(directory, "rows.jsonl"),
  ];
  writeFileSync(file, '{"text":"a b","label":"A"}\n'.repeat(sizes.train));
  await a.saveModel(model, modelFolder);
  (
    await a.fineTune(model, train, { epochs: 1, batchSize: sizes.batchSize, checkpoints: run, optimizerState: true })
  ).close();
  const checkpoints = [join(run, "epoch-1")];
  const store = await a.buildGradientStore(model, train, storeFolder, { rank: 2 });
  const features = await a.queryFeatures(model, queries, store);
  const ia = await a.gradientSimilarity(model, train, queries);
  const tracIn = await a.tracInCheckpoints(checkpoints, train, queries);
  const [na, trainNeurons] = [await a.gradient(model, queries), await a.gradient(model, train)];
  const scores = await a.integratedGradientsTo(scoresFolder, model, queries, { nodes: 2 });
  await a.save(ia, resultFolder);
  const [fineTune, self] = [{ epochs: 1, batchSize: sizes.batchSize }, await a.selfInfluence(store)];
  const outputs = await a.subsetOutputs(model, train, queries, { subsets: 3, fineTune });
  const units = [{ layer: 0, unit: 1 }];
  const test = await a.sufficiency(model, queries, na, { r: [1], controls: 1 });
  const joint = await a.jointAttribution(model, train, queries, ia, { units: 2 });
  const report = { title: "T", summary: "S", facts: [], sections: [] };
  const curve = [model, queries, na, { controls: 1 }];
  const neurons = (): Call => [model, queries, {}];
  const pair = (): Call => [model, train, queries, {}];
  const tokens = tokensOf(sizes.train, "t");
  const json = JSON.parse(await readFile(join(tokenizerFolder, "tokenizer.json"), "utf8")) as object;
  const calls: Readonly<Record<string, () => Call>> = {
    loadDataset: () => ["jsonl", { path: file }],
    createDataset: () => [dataset.rows, { labels: ["A", "B"] }],
    selectRows: () => [dataset, listed(sizes.train), {}],
    encode: () => [model, dataset, {}],
    createInstances: () => [{ kind: "classification", rows: tokens }],
    selectInstances: () => [train, listed(sizes.train)],
    concatInstances: () => [[train, queries]],
    createTokenizer: () => [json, {}],
    openTokenizer: () => [tokenizerFolder],
    saveTokenizer: () => [tokenizer, folder()],
    withPadToken: () => [tokenizer, "<pad>"],
    loadModel: () => [modelFolder, {}],
    createModel: () => [config, {}],
    saveModel: () => [model, folder(), {}],
    evaluate: neurons,
    capture: neurons,
    readoutStates: neurons,
    fineTune: () => [model, train, fineTune],
    fineTuneWithHistory: () => [model, train, fineTune],
    gradientSimilarity: pair,
    influence: () => [model, train, queries, { parameters: "head" }],
    representationSimilarity: pair,
    jointAttribution: () => [model, train, queries, ia, { units: 1 }],
    marginal: () => [joint, "neurons", {}],
    quantityValues: () => [model, queries, { unit: units[0] }, {}],
    trainingInfluence: () => [
      { model, train, options: { ...fineTune, epsilonRoot: 1e-8 } },
      queries,
      { metasmoothness: false },
    ],
    fitEkfac: () => [model, train, folder(), {}],
    buildGradientStore: () => [model, train, folder(), { rank: 2 }],
    appendToGradientStore: () => [model, queries, copyOf(storeFolder, folder()), {}],
    openGradientStore: () => [storeFolder, {}],
    planGradientStore: () => [model, train, { rank: 2 }, directory],
    queryFeatures: () => [model, queries, store, {}],
    storeSimilarity: () => [store, features, {}],
    selfInfluence: () => [store, {}],
    "selfInfluence of a model": () => [model, train, {}],
    breakdown: () => [model, train, queries, ia, {}],
    "breakdown of checkpoints": () => [checkpoints, train, queries, tracIn, {}],
    projectedGaussNewton: () => [model, store, queries, {}],
    dataInf: () => [model, store, queries, {}],
    trak: () => [model, store, queries, {}],
    trakCheckpoints: () => [checkpoints, train, queries, { rank: 2 }],
    tracInCheckpoints: () => [checkpoints, train, queries, {}],
    optimizerAwareSimilarity: () => [checkpoints, train, queries, {}],
    bm25: () => [train, queries, {}],
    randomInstances: () => [train, queries, {}],
    integratedGradients: neurons,
    integratedGradientsStream: neurons,
    integratedGradientsTo: () => [folder(), model, queries, { nodes: 2 }],
    activation: neurons,
    gradient: neurons,
    gradientTimesActivation: neurons,
    ablation: neurons,
    attributionPatching: neurons,
    conductance: neurons,
    logProbabilityIncrease: neurons,
    valueNorm: neurons,
    meanActivations: neurons,
    estimateNeuronMemory: neurons,
    refineNeurons: () => [na, {}],
    knowledgeSymmetry: () => [model, queries, queries, units, {}],
    categoricalChange: () => [model, queries, units, {}],
    intervene: () => [model, queries, units, {}],
    generate: () => [lm, prompts, units, { tokens: 1 }],
    inputTokens: () => [model, queries, { nodes: 2 }],
    unitTokens: () => [lm, units, { top: 2 }],
    wordTargets: () => [model, queries, "B"],
    iaNeurons: () => [ia, trainNeurons, {}],
    naInstances: () => [na, trainNeurons, {}],
    globalRanking: () => [ia],
    sufficiency: () => [model, queries, na, { r: [1], controls: 1 }],
    comprehensiveness: () => [model, queries, na, { r: [1], controls: 1 }],
    deletion: () => curve,
    insertion: () => curve,
    circuit: () => curve,
    circuitCurve: () => curve,
    shapleyValues: () => [model, queries, units, {}],
    fineTuningTest: () => [model, train, queries, ia, { fractions: [0.5], seeds: [1], fineTune }],
    subsetOutputs: () => [model, train, queries, { subsets: 1, fineTune }],
    leaveOneOutOutputs: () => [model, train, queries, { leaveOut: [0], fineTune }],
    joinSubsetOutputs: () => [outputs, outputs],
    removalCurve: () => [model, train, queries, ia, { counts: [1], fineTune }],
    unitRemovalCurve: () => [
      model,
      train,
      queries,
      { ia },
      { of: { unit: units[0] }, fractions: [0.2], seeds: [1], fineTune },
    ],
    tailPatch: () => [model, train, queries, ia, { topK: 1 }],
    top: () => [ia, 0, sizes.train],
    select: () => [na, 0, { topK: 1 }],
    openNeuronScores: () => [scoresFolder, {}],
    readNeuronRow: () => [scores, 0],
    readNeuronScores: () => [scores, {}],
    save: () => [ia, folder()],
    load: () => [resultFolder, {}],
    toCsv: () => [ia, `${folder()}.csv`, {}],
    toJson: () => [ia, `${folder()}.json`, {}],
    toNpy: () => [ia, `${folder()}.npy`, {}],
    toParquet: () => [ia, `${folder()}.parquet`, {}],
    distinctCounts: () => [ia, {}],
    layerHistogram: () => [na, {}],
    overlap: () => [ia, ia, {}],
    conflicts: () => [ia, ia, {}],
    sanity: () => [ia, tracIn, {}],
    relationCoverage: () => [ia, relations(sizes.queries), relations(sizes.train), {}],
    explainedShare: () => [na, {}],
    compareCurves: () => [{ "Integrated gradients": test }],
    diversity: () => [train, listed(sizes.queries), {}],
    diversityCorrelation: () => [listed(sizes.train), listed(sizes.train)],
    factTracing: () => [ia, listed(sizes.queries).map((i) => [i]), {}],
    linearDatamodelingScore: () => [ia, outputs, {}],
    tuneDamping: () => [() => Promise.resolve(ia), outputs, { dampings: [0.1, 1] }],
    leaveOneOutCorrelation: () => [ia, outputs, {}],
    mislabelDetection: () => [self, listed(sizes.queries), {}],
    renderReport: () => [report],
    writeReport: () => [`${folder()}.html`, report],
  };
  return new Map(Object.entries(calls));
}

function copyOf(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  return to;
}

const listed = (size: number): number[] => Array.from({ length: size }, (_, i) => i);
const relations = (size: number): string[] => listed(size).map((i) => (i % 2 === 0 ? "a" : "b"));

function tokensOf(size: number, prefix: string): number[][] {
  return listed(size).map((i) => listed(3 + (i % 4)).map((j) => (i * 7 + j * 13 + prefix.length) % 250));
}

function instancesOf(size: number, prefix: string): Instances {
  const rows = tokensOf(size, prefix);
  return attribution.createInstances({
    kind: "classification",
    rows,
    labels: rows.map((_, i) => i % 2),
    ids: rows.map((_, i) => `${prefix}${i}`),
  });
}
