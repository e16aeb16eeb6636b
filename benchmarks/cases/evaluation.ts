// Does it find the truth? Every instance attribution against models tuned on halves of the training set (linear datamodeling
// score), against the sentences that state a fact, and against labels that were changed on purpose. Resumable.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { factTracing } from "../../lib/analysis/fact-tracing";
import { linearDatamodelingScore } from "../../lib/analysis/linear-datamodeling-score";
import { mislabelDetection } from "../../lib/analysis/mislabel-detection";
import { concatInstances, selectInstances } from "../../lib/data/instances";
import { joinSubsetOutputs, subsetOutputs } from "../../lib/faithfulness/subset-outputs";
import { evaluate } from "../../lib/model/evaluate";
import { native } from "../../lib/native";
import { load } from "../../lib/results/load";
import { save } from "../../lib/results/save";
import type { SubsetOutputs } from "../../types/analysis";
import type { Instances } from "../../types/data";
import type { Estimate, InstanceAttribution } from "../../types/results";
import type { Benchmark, Context, Measurement } from "../benchmark";
import { factFiles, readFacts, type FactsData } from "../evaluation/facts";
import type { LabelledData } from "../evaluation/labelled";
import { type Method, methodsOf } from "../evaluation/methods";
import { pairFiles, readPairs } from "../evaluation/pairs";
import { readRelations } from "../evaluation/relations";
import { dataFolder, kept, stateFolder } from "../evaluation/state";
import {
  baseFolder,
  type EvaluationSize,
  factsSubject,
  pairsSubject,
  relationsSubject,
  type Subject,
} from "../evaluation/subjects";
import { type MethodResult, measurementOf } from "../evaluation/table";

const recipe = { batchSize: 16, learningRate: 1e-3, weightDecay: 0.01, dropout: false, keep: "last" } as const;

const relations = {
  P1303: "instrument",
  P413: "position on a team",
  P176: "manufacturer",
  P39: "position held",
  P449: "network",
  P159: "headquarters",
};

const full: EvaluationSize = {
  facts: { queries: 100, sentences: 800, background: 10_000, longest: 25 },
  relations: { train: 1000, queries: 80, longest: 25, wrong: 0.1, inspected: 100, relations },
  pairs: {
    train: 1000,
    queries: 80,
    longest: 30,
    wrong: 0.1,
    inspected: 100,
    classes: ["entailment", "contradiction"],
    taught: 4500,
  },
  shape: { vocabulary: 8000, hidden: 160, layers: 4, heads: 4 },
  training: { ...recipe, epochs: 2, batchSize: 32, learningRate: 2e-3, warmupSteps: 50 },
  tuning: {
    facts: { ...recipe, epochs: 4 },
    relations: { ...recipe, epochs: 2 },
    pairs: { ...recipe, epochs: 2, learningRate: 3e-4 },
  }, // more of it and a subset's model depends on chance alone
  teaching: { ...recipe, epochs: 3 },
  subsets: 40,
  seed: 42,
};

const quick: EvaluationSize = {
  ...full,
  facts: { ...full.facts, queries: 20, sentences: 150, background: 600 },
  relations: { ...full.relations, train: 160, queries: 20, inspected: 16 },
  pairs: { ...full.pairs, train: 160, queries: 20, inspected: 16, taught: 160 },
  shape: { ...full.shape, hidden: 64, layers: 2 },
  tuning: { facts: { ...recipe, epochs: 2 }, relations: { ...recipe, epochs: 2 }, pairs: { ...recipe, epochs: 2 } },
  teaching: { ...recipe, epochs: 1 },
  subsets: 6,
};

export const evaluation: Benchmark = {
  name: "evaluation",
  title:
    "linear datamodeling score, fact tracing and mislabel detection of every instance attribution, on T-REx and MNLI",
  run: (context) => measureEvaluation(context.quick ? quick : full, context),
};

/** `data` and `state`: folders, by default those of the project. */
export async function measureEvaluation(
  size: EvaluationSize,
  { log }: Context,
  data = dataFolder([...factFiles, ...pairFiles]),
  state = stateFolder(size),
): Promise<Measurement> {
  native().setThreads(1); // so small a model runs fastest on one thread, and its CPU seconds are seconds
  await mkdir(state, { recursive: true });
  log(`state: ${state}`);
  const [facts, relations, pairs] = [
    readFacts(data, size.facts, size.seed),
    await readRelations(data, size.relations, size.seed),
    await readPairs(data, size.pairs, size.seed),
  ];
  const base = await baseFolder(state, facts, pairs, relations, size, log);
  const results: MethodResult[] = [];
  const notes: string[] = [];
  const subjects = [
    () => factsSubject(state, base, facts, size),
    () => relationsSubject(state, base, relations, size),
    () => pairsSubject(state, base, pairs, size, log),
  ];
  for (const make of subjects) {
    const subject = await make();
    const { base: untuned, model, train, queries } = subject;
    const before = await evaluate(untuned, queries);
    const after = await evaluate(model, queries);
    notes.push(
      `${subject.name}: ${train.size} training instances, ${train.tokens.length} tokens; the queries' loss falls from ${before.meanLoss.toFixed(2)} to ${after.meanLoss.toFixed(2)} nats` +
        (subject.name === "facts"
          ? ""
          : `, accuracy ${(100 * before.accuracy).toFixed(0)} % before, ${(100 * after.accuracy).toFixed(0)} % after`),
    );
    const outputs = await outputsOf(subject, size, state, log);
    for (const method of methodsOf(size.seed).filter(
      ({ only }) => only === undefined || (only === "classifiers" && subject.name !== "facts"),
    )) {
      results.push(await resultOf(method, subject, outputs, { facts, relations, pairs }[subject.name], state, log));
    }
    model.close();
    untuned.close();
  }
  return measurementOf(results, notes, size);
}

/** One model after the other, each kept. */
async function outputsOf(
  { name, base, train, queries, recipe: fineTune }: Subject,
  { subsets, seed }: EvaluationSize,
  state: string,
  log: (text: string) => void,
): Promise<SubsetOutputs> {
  await mkdir(join(state, `${name}-subsets`), { recursive: true });
  let all: SubsetOutputs | undefined;
  for (let from = 0; from < subsets; from++) {
    const stored = await kept(join(state, `${name}-subsets`, `${from}.json`), async () => {
      const { masks, values } = await subsetOutputs(base, train, queries, {
        subsets: 1,
        from,
        seed,
        seeds: [seed],
        fineTune,
      });
      log(`${name}: subset model ${from + 1} of ${subsets}`);
      return { masks: Array.from(masks), values: Array.from(values) };
    });
    const one: SubsetOutputs = {
      subsets: 1,
      train: train.size,
      queries: queries.size,
      masks: Uint8Array.from(stored.masks),
      values: Float64Array.from(stored.values),
      output: "logProbability",
      trainIds: train.ids,
      queryIds: queries.ids,
    };
    all = all === undefined ? one : joinSubsetOutputs(all, one);
  }
  return all as SubsetOutputs;
}

async function resultOf(
  method: Method,
  subject: Subject,
  outputs: SubsetOutputs,
  data: FactsData | LabelledData,
  state: string,
  log: (text: string) => void,
): Promise<MethodResult> {
  const { train, queries } = subject;
  const inspected = "inspected" in data ? data.inspected : [];
  const asked = inspected.length === 0 ? queries : concatInstances([queries, selectInstances(train, inspected)]);
  const { attribution, seconds, bytes } = await scored(method, subject, asked, state, log);
  const own = rowsOf(attribution, queries);
  const tracing = "truth" in data ? await factTracing(own, data.truth, { k: [10] }) : undefined;
  return {
    name: method.name,
    subject: subject.name,
    seconds,
    bytes,
    datamodeling: (await linearDatamodelingScore(own, outputs)).mean,
    recall: tracing?.recall[0].estimate,
    reciprocalRank: tracing?.meanReciprocalRank,
    mislabelled:
      inspected.length === 0 || method.isNormalised === true
        ? undefined
        : await detection(attribution, queries.size, inspected),
  };
}

/** The scores and what they took, kept. */
async function scored(
  method: Method,
  subject: Subject,
  asked: Instances,
  state: string,
  log: (text: string) => void,
): Promise<{ attribution: InstanceAttribution; seconds: number; bytes: number }> {
  const folder = join(state, `${subject.name}-scores`, method.name.replace(/[^\w-]+/g, "-"));
  const cost = await kept(`${folder}.json`, async () => {
    const before = process.cpuUsage();
    const { attribution, bytes } = await method.score(subject, asked, state);
    const { user, system } = process.cpuUsage(before);
    const seconds = (user + system) / 1e6;
    await save(attribution, folder);
    log(`${subject.name}: ${method.name}, ${seconds.toFixed(1)} CPU seconds`);
    return { seconds, bytes };
  });
  return { attribution: await load(folder, { kind: "instances" }), ...cost };
}

/** The rows of the first queries. */
function rowsOf(attribution: InstanceAttribution, queries: Instances): InstanceAttribution {
  return {
    ...attribution,
    scores: attribution.scores.subarray(0, queries.size * attribution.train),
    queries: queries.size,
    queryIds: queries.ids,
  };
}

/** Self-influence of the inspected rows, which were asked after the `first` queries; the first half of them is mislabelled. */
async function detection(
  attribution: InstanceAttribution,
  first: number,
  inspected: readonly number[],
): Promise<Estimate> {
  const { train, scores, trainIds, unit, provenance } = attribution;
  const own = Float32Array.from(inspected, (index, i) => scores[(first + i) * train + index]);
  const wrong = Array.from({ length: inspected.length / 2 }, (_, i) => i);
  const found = await mislabelDetection(
    {
      kind: "selfInfluence",
      scores: own,
      train: own.length,
      trainIds: inspected.map((index) => trainIds[index]),
      unit,
      provenance,
    },
    wrong,
  );
  return found.auc;
}
