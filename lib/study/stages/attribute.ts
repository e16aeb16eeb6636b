// Instance attribution and neuron attribution of one subject by every method of the study, as steps.
import type { CallOptions } from "../../../types/common";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { InstanceAttribution, NeuronAttribution, Site } from "../../../types/results";
import { AttributionError } from "../../errors";
import { instanceMethod, type InstanceMethodName, neuronMethod, type NeuronMethodName } from "../methods";
import type { Step, Workshop } from "../steps";
import type { Subject } from "../subject";

/** A method's result with the name it goes by. */
export interface Named<T> {
  readonly name: string;
  /** A control knows nothing of the model's parameters' use of the training rows. */
  readonly role: "method" | "control";
  /** Where the result comes from: a step, or arithmetic over results of steps. */
  readonly source: Pick<Step<T>, "key" | "get">;
}

/** A result with its name, no longer a promise. */
export interface Result<T> {
  readonly name: string;
  readonly role: "method" | "control";
  readonly attribution: T;
}

export interface AttributeStage {
  /** Of the queries; the last one is random. */
  readonly instances: readonly Named<InstanceAttribution>[];
  /** MLP neurons of the queries. */
  readonly neurons: readonly Named<NeuronAttribution>[];
  /** Attention heads of the queries, by the first neuron method. */
  readonly heads: Named<NeuronAttribution>;
  /** MLP neurons of the training rows, by the first neuron method. */
  readonly train: Step<NeuronAttribution>;
}

const controls: readonly InstanceMethodName[] = ["bm25", "randomInstances", "representationSimilarity"];

export function attributeStage(workshop: Workshop, subject: Subject): AttributeStage {
  const { definition, queries, train } = subject;
  const methods = definition.instanceMethods.some(({ method }) => method === "randomInstances")
    ? definition.instanceMethods
    : [...definition.instanceMethods, { name: "Random", method: "randomInstances" as const, options: {} }];
  const [first] = definition.neuronMethods;
  return {
    instances: methods.map(({ name, method, options }) => ({
      name,
      role: controls.includes(method) ? "control" : "method",
      source: instanceStep(
        workshop,
        subject,
        subject.tuned,
        queries,
        { name, method, options: { ...options, ...subject.model.instanceOptions?.[name] } },
        "queries",
      ),
    })),
    neurons: definition.neuronMethods.map(({ name, method, options }) => ({
      name,
      role: "method",
      source: neuronStep(workshop, subject.tuned, queries, method, options, `${name} of the queries`),
    })),
    heads: {
      name: `${first.name} (heads)`,
      role: "method",
      source: headStep(workshop, subject.tuned, queries, first, "the queries"),
    },
    train: neuronStep(
      workshop,
      subject.tuned,
      train,
      first.method,
      { ...first.options, ...definition.trainNeurons },
      `${first.name} of ${train.size} training rows`,
    ),
  };
}

interface InstanceRequest {
  readonly name: string;
  readonly method: InstanceMethodName;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Scores of some queries over the training rows, under a model. */
export function instanceStep(
  workshop: Workshop,
  { train, definition: { seed } }: Pick<Subject, "train" | "definition">,
  model: Step<Model>,
  queries: Instances,
  { name, method, options }: InstanceRequest,
  of: string,
): Step<InstanceAttribution> {
  const seeded = method === "influence" || method === "randomInstances" ? { seed, ...options } : options;
  return workshop.step({
    stage: "attribute",
    title: `${name} of the ${of}`,
    form: "attribution",
    from: [model, train.hash, queries.hash],
    options: { method, options: seeded },
    tokens: instanceTokens(method, options, train, queries),
    work: async (call) =>
      withDamping(method, seeded, async (chosen) =>
        instanceMethod(method)(await model.get(), train, queries, { ...chosen, ...call }),
      ),
  });
}

/** Where H has more negative curvature than the damping makes up for, ten times the damping, at most twice. */
async function withDamping(
  method: InstanceMethodName,
  options: Readonly<Record<string, unknown>>,
  run: (options: Readonly<Record<string, unknown>>) => Promise<InstanceAttribution>,
  tries = 2,
): Promise<InstanceAttribution> {
  try {
    return await run(options);
  } catch (error) {
    const isTooLittle =
      method === "influence" && error instanceof AttributionError && error.message.includes("not positive definite");
    if (!isTooLittle || tries === 0) throw error;
    return withDamping(
      method,
      { ...options, damping: 10 * ((options["damping"] as number | undefined) ?? 0.01) },
      run,
      tries - 1,
    );
  }
}

export function neuronStep(
  workshop: Workshop,
  model: Step<Model>,
  instances: Instances,
  method: NeuronMethodName,
  options: Readonly<Record<string, unknown>>,
  title: string,
): Step<NeuronAttribution> {
  return workshop.step({
    stage: "attribute",
    title,
    form: "attribution",
    from: [model, instances.hash],
    options: { method, options },
    tokens: neuronTokens(method, options, instances),
    work: async (call: CallOptions) => neuronMethod(method)(await model.get(), instances, { ...options, ...call }),
  });
}

function headStep(
  workshop: Workshop,
  model: Step<Model>,
  instances: Instances,
  { name, method, options }: { name: string; method: NeuronMethodName; options: Readonly<Record<string, unknown>> },
  of: string,
): Step<NeuronAttribution> {
  const { preset: _preset, ...rest } = options; // the paper's preset scores neurons only
  return neuronStep(
    workshop,
    model,
    instances,
    method,
    { ...rest, site: "heads" satisfies Site },
    `${name} of ${of}: heads`,
  );
}

/** Tokens that go forward, a backward counting two. */
function instanceTokens(
  method: InstanceMethodName,
  options: Readonly<Record<string, unknown>>,
  train: Instances,
  queries: Instances,
): number {
  const all = train.tokens.length + queries.tokens.length;
  if (method === "bm25" || method === "randomInstances") return 0;
  if (method === "representationSimilarity") return all;
  if (method !== "influence") return 4 * all;
  const passes = {
    ekfac: 9,
    identity: 3,
    lissa: 30,
    cg: 3 + 4 * Number(options["iterations"] ?? 30),
    arnoldi: 3 + 4 * Number(options["iterations"] ?? 100),
  };
  return passes[(options["inverse"] ?? "cg") as keyof typeof passes] * all;
}

function neuronTokens(
  method: NeuronMethodName,
  options: Readonly<Record<string, unknown>>,
  { tokens, size }: Instances,
): number {
  const nodes = Number(options["nodes"] ?? 20);
  return (
    tokens.length +
    (method === "integratedGradients"
      ? 20 * nodes * size
      : method === "conductance"
        ? 3 * nodes * tokens.length
        : 3 * tokens.length)
  );
}
