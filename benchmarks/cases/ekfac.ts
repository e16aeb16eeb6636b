// EK-FAC influence: ours against kronfluence on the same weights and data; and the memory that it takes on opt-125m's shape.
import { createInstances } from "../../lib/data/instances";
import { influence } from "../../lib/instance/influence";
import { formatNumber } from "../../lib/report/format";
import { pearson } from "../../lib/statistics";
import { atLeast, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { peakMemory } from "../memory";
import { floats, openReference, python, type Reference } from "../reference";
import {
  classifier,
  languageModel,
  type LanguageShape,
  mnliLengths,
  neoxSmall,
  opt125m,
  randomRows,
  type Shape,
  type Subject,
} from "../shapes";
import { stages } from "../stages";
import { type Contender, interleaved, spreadOf, timeRows } from "../timing";

export interface Settings {
  readonly shape: LanguageShape;
  readonly train: number;
  readonly queries: number;
  readonly tokens: number;
  /** Rows of kronfluence's batches. */
  readonly batch: number;
  readonly rounds: number;
  /** Measured alone, for its memory; none in tests. */
  readonly large: { readonly shape: Shape; readonly train: number; readonly budget: number } | undefined;
}

const quickSettings: Settings = {
  shape: neoxSmall,
  train: 64,
  queries: 32,
  tokens: 64,
  batch: 16,
  rounds: 1,
  large: undefined,
};
const fullSettings: Settings = {
  shape: neoxSmall,
  train: 512,
  queries: 32,
  tokens: 64,
  batch: 16,
  rounds: 2,
  large: { shape: opt125m, train: 64, budget: 2048 },
};

export const ekfac: Benchmark = {
  name: "ekfac",
  title: "EK-FAC influence, all linear modules of the blocks: against kronfluence; memory on opt-125m's shape",
  run: (context) => measureEkfac(context.quick ? quickSettings : fullSettings, context),
};

interface Run {
  /** Of the eigendecomposition, and of everything else. */
  readonly eigendecomposition: number;
  readonly rest: number;
  readonly scores: Float32Array;
  readonly stages: Readonly<Record<string, number>>;
}

export async function measureEkfac(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await languageModel(settings.shape, "float32");
  await using peer = await openReference("kronfluence_ekfac.py", {
    interpreter: process.env["ATTRIBUTION_KRONFLUENCE_PYTHON"] ?? python(),
  });
  const data = rowsOf(settings);
  await peer.ask("load", {
    directory: subject.directory,
    train: data.train,
    queries: data.queries,
    batch: settings.batch,
  });
  const [own, theirs]: [Run[], Run[]] = [[], []];
  const recorded = (runs: Run[], run: () => Promise<Run>) => async (): Promise<number> => {
    runs.push(await run());
    return runs[runs.length - 1].rest;
  };
  const contenders: Contender[] = [
    { name: "covariances + corrections + scores, ours", run: recorded(own, () => ours(subject, data, "sampled")) },
    {
      name: "covariances + corrections + scores, kronfluence",
      run: recorded(theirs, () => kronfluence(peer, theirs.length, "sampled")),
    },
  ];
  const group = `${settings.train} × ${settings.tokens} tokens, ${settings.queries} queries`;
  const timed = timeRows(group, contenders, await interleaved(contenders, settings.rounds, context.log));
  const ratio = timed[1].timesOurs ?? Number.NaN;
  const empirical = pearson(
    (await ours(subject, data, "empirical")).scores,
    (await kronfluence(peer, 0, "empirical")).scores,
  );
  return {
    rows: [
      ...timed,
      ...decompositions(group, own, theirs),
      ...(settings.large ? await alone(settings.large, context) : []),
    ],
    ratio,
    unit: `faster than kronfluence (covariances, corrections and scores; the eigendecomposition apart), at ${group}`,
    versions: peer.versions,
    bars: [
      atLeast("times faster than kronfluence", ratio, 2),
      atLeast("correlation with kronfluence's scores, both with the empirical Fisher", empirical, 0.99),
    ],
    notes: [
      `timed with the true Fisher: labels drawn from the model, so that two runs differ. Ours and kronfluence then correlate at ${correlation(own[0], theirs[0])}, two runs of kronfluence at ${correlation(theirs[0], theirs[1])}: ` +
        "above 0.99 no two can be asked to agree, so the bar is held with the empirical Fisher, whose labels are the data's own",
      "ours draws the same labels in both passes, kronfluence anew in each",
      `ours by stage: ${listed(own[0].stages)}; kronfluence: ${listed(theirs[0].stages)}`,
      "ours: memory of 1 GB, batches of 4,096 tokens; kronfluence: batches of 16 rows, all queries in one",
    ],
  };
}

const correlation = (a: Run, b: Run | undefined): string =>
  b === undefined ? "?" : pearson(a.scores, b.scores).toFixed(3);

function rowsOf({ shape, train, queries, tokens }: Settings): Data {
  const rows = (count: number, seed: number) => randomRows(shape.vocab_size, Array<number>(count).fill(tokens), seed);
  return { train: rows(train, 0), queries: rows(queries, 1) };
}

type Fisher = "sampled" | "empirical";
interface Data {
  readonly train: number[][];
  readonly queries: number[][];
}

async function ours({ model }: Subject, data: Data, fisher: Fisher): Promise<Run> {
  const [train, queries] = [data.train, data.queries].map((rows) => createInstances({ kind: "causalLM", rows }));
  const { onProgress, end } = stages();
  const start = performance.now();
  const { scores } = await influence(model, train, queries, {
    inverse: "ekfac",
    parameters: "linear",
    damping: 0.1,
    fisher,
    onProgress,
  });
  const total = (performance.now() - start) / 1000;
  const taken = end();
  const eigendecomposition = taken["EK-FAC eigendecomposition"];
  return { eigendecomposition, rest: total - eigendecomposition, scores, stages: taken };
}

async function kronfluence(peer: Reference, seed: number, fisher: Fisher): Promise<Run> {
  const { seconds, scores } = await peer.ask<{ seconds: Record<string, number>; scores: string }>("influence", {
    seed,
    empirical: fisher === "empirical",
  });
  const { eigendecomposition, ...rest } = seconds;
  return {
    eigendecomposition,
    rest: Object.values(rest).reduce((sum, part) => sum + part, 0),
    scores: floats(scores),
    stages: seconds,
  };
}

function decompositions(group: string, own: readonly Run[], theirs: readonly Run[]): Row[] {
  const spreads = [own, theirs].map((runs) => spreadOf(runs.map(({ eigendecomposition }) => eigendecomposition)));
  return timeRows(
    group,
    ["ours", "kronfluence"].map((name) => ({
      name: `eigendecomposition in float64, ${name}`,
      run: () => Promise.resolve(0),
    })),
    spreads,
  );
}

const listed = (taken: Readonly<Record<string, number>>): string =>
  Object.entries(taken)
    .map(([stage, part]) => `${stage} ${formatNumber(part)} s`)
    .join(", ");

/** Time and memory on a large shape, in a process of its own. */
async function alone({ shape, train, budget }: NonNullable<Settings["large"]>, { log }: Context): Promise<Row[]> {
  await using subject = await classifier(shape);
  const queries = 4;
  const rows = randomRows(
    shape.vocab_size,
    Array.from({ length: train + queries }, (_, i) => mnliLengths[i % mnliLengths.length]),
  );
  const { loaded, peak, seconds } = await peakMemory({
    directory: subject.directory,
    rows,
    budget,
    queries,
    call: "ekfac",
  });
  const group = `opt-125m, ${train} MNLI lengths, ${queries} queries`;
  const row = (name: string, value: number, unit: string, note: string): Row => ({
    group,
    name,
    unit,
    median: value,
    min: value,
    max: value,
    repeats: 1,
    timesOurs: null,
    note,
  });
  log(`${group}: ${seconds.toFixed(1)} s, ${((peak - loaded) / 2 ** 20).toFixed(0)} MB above the loaded model`);
  return [
    row(
      "ours alone, with the eigendecomposition",
      seconds,
      "s",
      "linear modules of all 12 layers; factors of 297 million numbers, 85 million eigenvalues",
    ),
    row(
      "peak RSS above the loaded model",
      (peak - loaded) / 2 ** 20,
      "MB",
      `memory: "${budget} MB" for gradients; the factors come on top; loaded model: ${formatNumber(Math.round(loaded / 2 ** 20))} MB`,
    ),
  ];
}
