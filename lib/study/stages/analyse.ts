// From the results of the steps to what a study found of one subject. Pure: touches no model.
import type { Architecture } from "../../../types/architecture";
import type { Attribution, Estimate, InstanceAttribution, NeuronAttribution } from "../../../types/results";
import { diversity } from "../../analysis/diversity";
import { factTracing } from "../../analysis/fact-tracing";
import { linearDatamodelingScore } from "../../analysis/linear-datamodeling-score";
import { mislabelDetection } from "../../analysis/mislabel-detection";
import { distinctCounts, layerHistogram, overlap } from "../../analysis/overlap";
import type { Evaluation } from "../../model/evaluate";
import type { FineTuned } from "../../model/fine-tune";
import { rowScores, top } from "../../results/top";
import { bootstrapMean, spearman } from "../../statistics";
import { inTurn } from "../in-turn";
import { majorityShare, type StudyRow } from "../rows";
import type { ConflictRow, DiversityRow, Learning, OverlapMatrix, SubjectResults } from "../results";
import type { Subject } from "../subject";
import type { AlignStage } from "./align";
import type { AttributeStage, Named, Result } from "./attribute";
import type { Judged, ProbeStage } from "./probe";
import { testRow } from "./neuron-rows";
import { outOfDistributionOf } from "./other-distribution";
import { queryResults } from "./queries";
import type { TestStage } from "./test";
import { correlationOf } from "./variety";

export interface Stages {
  readonly attributed: AttributeStage;
  readonly aligned: AlignStage;
  readonly tests: TestStage;
  readonly probes: ProbeStage;
}

const k = 10;

export async function analyse(
  subject: Subject,
  { attributed, aligned, tests, probes }: Stages,
  pause: () => Promise<void>,
): Promise<SubjectResults> {
  const { data, definition, train, queries } = subject;
  const { seed } = definition;
  const instances = await resolved(aligned.instances);
  const neurons = await resolved(aligned.neurons);
  const methods = instances.filter(({ role }) => role === "method");
  const own = neurons.slice(0, attributed.neurons.length);
  const compared = [...own, (await resolved([aligned.iaNeurons]))[0]];
  const [heads] = await resolved([aligned.heads]);
  const fineTuning = (await Promise.all(tests.fineTuning.map((step) => step.get()))).flat();
  const described = await probes.described.get();
  const conflicts = (await probes.conflicts.get()).map(conflictRow);
  const evaluation = await subject.evaluated(queries, "queries").get();
  const subsets = await tests.subsets?.get();
  const model = await subject.tuned.get();
  await pause();
  const chosenBy = ({ attribution }: Result<InstanceAttribution>) =>
    diversity(
      train,
      Array.from({ length: queries.size }, (_, query) => top(attribution, query, k).map(({ index }) => index)).flat(),
      described,
    );
  const diversityRows = await inTurn(instances, async (each): Promise<DiversityRow> => {
    const { instances: distinctRows, distinctTokens, meanLength, meanLoss, meanPairwiseCosine } = await chosenBy(each);
    return {
      method: each.name,
      distinctRows,
      distinctTokens,
      meanLength,
      meanLoss,
      meanCosine: Number.isNaN(meanPairwiseCosine) ? null : meanPairwiseCosine,
    };
  });
  await pause();
  const headTests = await tests.heads.get();
  const { architecture } = model;
  return {
    model: subject.model.name,
    data: data.name,
    origin: data.origin,
    warnings: data.warnings,
    facts: factsOf(subject, architecture, model.parameters, model.dtype),
    learning: learningOf(
      subject,
      await subject.evaluated(subject.heldOut, "held-out rows").get(),
      await subject.history.get(),
    ),
    neuronTests: (await Promise.all(tests.neurons.map((step) => step.get()))).map((each) =>
      testRow(each, architecture.layers * architecture.intermediate),
    ),
    headTests: testRow(headTests, architecture.layers * architecture.heads),
    fineTuning,
    datamodeling:
      subsets === undefined
        ? []
        : await inTurn(instances, async ({ name, attribution }) => ({
            method: name,
            score: (await linearDatamodelingScore(attribution, subsets, { seed })).mean,
          })),
    tracing: await tracingOf(subject, instances),
    coverage: coverageOf(data.train, data.queries, instances, seed),
    errorFinding: await errorsOf(probes, seed),
    instanceOverlap: await matrixOf(instances, seed),
    neuronOverlap: await matrixOf(compared, seed),
    distinct: [
      ...(await inTurn(instances, async ({ name, attribution }) => ({
        of: "rows" as const,
        method: name,
        ...(await countsOf(attribution)),
      }))),
      ...(await inTurn(compared, async ({ name, attribution }) => ({
        of: "neurons" as const,
        method: name,
        ...(await countsOf(attribution)),
      }))),
    ],
    layers: [
      ...(await inTurn(compared, async ({ name, role, attribution }) => ({
        method: name,
        role,
        shares: Array.from((await layerHistogram(attribution, { k })).shares),
      }))),
      {
        method: "Random neurons",
        role: "control",
        shares: new Array<number>(architecture.layers).fill(1 / architecture.layers),
      },
    ],
    unitMap: unitMap(own[0]),
    diversity: diversityRows,
    diversityCorrelation: await correlationOf(subject, methods, fineTuning, described),
    outOfDistribution: outOfDistributionOf(subject, await probes.outOfDistribution?.get(), own[0].attribution),
    conflicts,
    sanity: [
      ...(await sanityOf("rows", instances, probes.redrawnInstances, seed)),
      ...(await sanityOf("neurons", own, probes.redrawnNeurons, seed)),
    ],
    queries: queryResults({
      subject,
      evaluation,
      instances,
      units: [own[0], compared[compared.length - 1], heads],
      conflicts,
    }),
  };
}

async function resolved<T>(list: readonly Named<T>[]): Promise<Result<T>[]> {
  const results: Result<T>[] = [];
  for (const { name, role, source } of list) results.push({ name, role, attribution: await source.get() });
  return results;
}

function factsOf(
  { data, train, heldOut, queries, base, definition }: Subject,
  { family, layers, hidden, intermediate, heads }: Architecture,
  parameters: number,
  dtype: string,
): SubjectResults["facts"] {
  return [
    {
      name: "Model",
      value: `${family}, ${layers} layers, ${hidden} features, ${layers} × ${intermediate} neurons, ${layers} × ${heads} heads, ${parameters} parameters, ${dtype}`,
    },
    { name: "Base model's fingerprint", value: base.hash.slice(0, 12) },
    { name: "Data", value: data.origin },
    { name: "Rows", value: `${train.size} training, ${heldOut.size} held out, ${queries.size} of these the queries` },
    { name: "Seed", value: String(definition.seed) },
  ];
}

function learningOf(
  { data }: Subject,
  { predictions }: Evaluation,
  history: Omit<FineTuned, "model"> | undefined,
): Learning {
  const names = [...new Set(data.heldOut.map(({ group }) => group))];
  const groups = [
    ...(names.length < 2 ? [] : names.map((name) => [name ?? "others", name] as const)),
    ["all", null] as const,
  ];
  return {
    shows: data.heldOutShows,
    groups: groups.map(([name, group]) => {
      const members = [...data.heldOut.keys()].filter((row) => group === null || data.heldOut[row].group === group);
      const right = members.map((row) => Number(predictions[row] === data.heldOut[row].label));
      return {
        name,
        rows: members.length,
        accuracy: bootstrapMean(right),
        majority: majorityShare(members.map((row) => data.heldOut[row])),
      };
    }),
    losses: history === undefined ? [] : smoothed(history),
    accuracies: history === undefined ? [] : Array.from(history.evaluationAccuracies),
  };
}

function smoothed({ losses, evaluationAccuracies }: Omit<FineTuned, "model">): Learning["losses"] {
  const steps = losses.length / evaluationAccuracies.length;
  const width = Math.max(1, Math.floor(steps / 2));
  return Array.from({ length: Math.ceil(losses.length / width) }, (_, at) => {
    const part = losses.subarray(at * width, (at + 1) * width);
    return {
      epoch: (at * width + part.length / 2) / steps,
      loss: part.reduce((sum, loss) => sum + loss, 0) / part.length,
    };
  });
}

async function tracingOf(
  { truth, definition: { seed } }: Subject,
  instances: readonly Result<InstanceAttribution>[],
): Promise<SubjectResults["tracing"]> {
  if (truth === undefined) return [];
  return inTurn(instances, async ({ name, attribution }) => {
    const of = async (lists: readonly (readonly number[])[]) => {
      const { recall, meanReciprocalRank } = await factTracing(attribution, lists, { k: [k], seed });
      return { recall: recall[0].estimate, reciprocalRank: meanReciprocalRank };
    };
    return { method: name, sameClaim: await of(truth.sameClaim), sameFact: await of(truth.sameFact) };
  });
}

/** Share of a query's top rows that are of its own group. */
function coverageOf(
  train: readonly StudyRow[],
  queries: readonly StudyRow[],
  instances: readonly Result<InstanceAttribution>[],
  seed: number,
): SubjectResults["coverage"] {
  if (queries.every(({ group }) => group === undefined)) return [];
  const shareOf = (group: string | undefined) => train.filter((row) => row.group === group).length / train.length;
  const chance = queries.reduce((sum, { group }) => sum + shareOf(group), 0) / queries.length;
  return instances.map(({ name, attribution }) => {
    const shares = queries.map(({ group }, query) => {
      const chosen = top(attribution, query, k);
      return chosen.filter(({ index }) => train[index].group === group).length / chosen.length;
    });
    return { method: name, share: bootstrapMean(shares, { seed }), chance };
  });
}

async function errorsOf({ errors }: ProbeStage, seed: number): Promise<SubjectResults["errorFinding"]> {
  const planted = await errors?.get();
  if (planted === undefined) return null;
  return {
    flipped: planted.flipped.length,
    rows: await inTurn(planted.methods, async ({ name, scores }) => {
      const { auc, found } = await mislabelDetection(scores, planted.flipped, { seed, inspect: [0.1] });
      return { method: name, auc, found: found[0].share, inspected: found[0].inspected };
    }),
  };
}

async function matrixOf<T extends Attribution>(results: readonly Result<T>[], seed: number): Promise<OverlapMatrix> {
  const between = (a: Attribution, b: Attribution) =>
    overlap(a as InstanceAttribution, b as InstanceAttribution, { k, seed });
  const first = await between(results[0].attribution, results[0].attribution);
  return {
    names: results.map(({ name }) => name),
    values: await inTurn(results, (one) =>
      inTurn(results, async (other) => (await between(one.attribution, other.attribution)).mean),
    ),
    chance: first.chance,
    k,
  };
}

/** How many different entries the rows choose, beside n (1 − (1 − k / n)^rows), what independent random choices of k of n give. */
async function countsOf(
  attribution: Attribution,
): Promise<{ readonly chosen: number; readonly distinct: number; readonly expected: number }> {
  const { chosen, distinct } = await distinctCounts(attribution, { k });
  const [rows, all] =
    attribution.kind === "instances"
      ? [attribution.queries, attribution.train]
      : [attribution.instances, attribution.layers * attribution.units];
  return { chosen, distinct, expected: all * (1 - (1 - Math.min(k, all) / all) ** rows) };
}

/** Mean scores of all queries, [layer][column], columns of neighbouring units so that the map is narrow enough to draw. */
function unitMap({ name, attribution }: Result<NeuronAttribution>): SubjectResults["unitMap"] {
  const { instances, layers, units, scores } = attribution;
  const perColumn = Math.ceil(units / 32);
  const values = Array.from({ length: layers }, () => new Array<number>(Math.ceil(units / perColumn)).fill(0));
  scores.forEach((score, at) => {
    const place = at % (layers * units);
    values[Math.floor(place / units)][Math.floor((place % units) / perColumn)] += score / instances;
  });
  return { method: name, units, perColumn, values };
}

/** The prediction rests on the neurons whose removal costs it more than a hundredth of probability above the other's. */
function conflictRow({
  query,
  correlation,
  overlap: shared,
  r,
  withoutNa,
  withoutIa,
  withoutRandom,
}: Judged): ConflictRow {
  const restsOn = Math.abs(withoutNa - withoutIa) < 0.01 ? "neither" : withoutNa < withoutIa ? "NA" : "IA";
  return { query, correlation, overlap: shared, r, withoutNa, withoutIa, withoutRandom, restsOn };
}

/** Rank correlation of each row's scores with those under re-drawn weights; near 0 where a method is about the model. */
async function sanityOf<T extends Attribution>(
  of: "rows" | "neurons",
  results: readonly Result<T>[],
  redrawn: readonly Named<T>[],
  seed: number,
): Promise<SubjectResults["sanity"]> {
  const rows: SubjectResults["sanity"][number][] = [];
  for (const { name, source } of redrawn) {
    const [own, other] = [results.find((each) => each.name === name)?.attribution, await source.get()];
    if (own === undefined) continue;
    const count = own.kind === "instances" ? own.queries : own.instances;
    const correlations: Estimate | readonly number[] = Array.from({ length: count }, (_, row) =>
      spearman(rowScores(own, row), rowScores(other, row)),
    ).filter((value) => !Number.isNaN(value));
    if (correlations.length > 0) rows.push({ method: name, of, correlation: bootstrapMean(correlations, { seed }) });
  }
  return rows;
}
