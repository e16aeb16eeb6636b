// What else a study asks of a subject, as steps: rows of another distribution, conflicts of the two views, a model with re-drawn
// weights, and errors planted in the training labels.
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { InstanceAttribution, NeuronAttribution } from "../../../types/results";
import type { SelfInfluence } from "../../../types/store";
import { conflicts } from "../../analysis/conflicts";
import { selectInstances } from "../../data/instances";
import { comprehensiveness } from "../../faithfulness/comprehensiveness";
import { randomInstances } from "../../instance/random";
import { selfInfluence } from "../../instance/self-influence";
import { readoutStates } from "../../model/capture";
import { createModel } from "../../model/create-model";
import { evaluate } from "../../model/evaluate";
import { fineTune } from "../../model/fine-tune";
import { createRandom, sampleWithout } from "../../random";
import { rowScores } from "../../results/top";
import type { Conflict } from "../../../types/analysis";
import type { StudyRow } from "../rows";
import type { Step, Workshop } from "../steps";
import type { Subject } from "../subject";
import type { AlignStage } from "./align";
import { type AttributeStage, instanceStep, type Named, neuronStep } from "./attribute";

export interface Judged extends Conflict {
  /** Neurons taken away on either side. */
  readonly r: number;
  /** Change of the predicted class's probability without the query's own top neurons (NA), without the neurons of its most influential training rows (IA-Neurons), and without as many random ones. */
  readonly withoutNa: number;
  readonly withoutIa: number;
  readonly withoutRandom: number;
}

export interface PlantedErrors {
  /** Indices of the training rows with flipped labels. */
  readonly flipped: readonly number[];
  readonly methods: readonly { readonly name: string; readonly scores: SelfInfluence }[];
}

export interface OutOfDistribution {
  /** Rows that the model gets wrong, at most as many as there are queries. */
  readonly wrong: readonly number[];
  readonly predictions: Int32Array;
  readonly probabilities: Float64Array;
  readonly instances: InstanceAttribution | undefined;
  readonly neurons: NeuronAttribution | undefined;
}

export interface ProbeStage {
  readonly conflicts: Step<readonly Judged[]>;
  readonly outOfDistribution: Step<OutOfDistribution> | undefined;
  /** Under re-drawn weights: each instance method, then each neuron method. */
  readonly redrawnInstances: readonly Named<InstanceAttribution>[];
  readonly redrawnNeurons: readonly Named<NeuronAttribution>[];
  readonly errors: Step<PlantedErrors> | undefined;
  /** Losses and readout states of the training rows, for how varied the chosen ones are. */
  readonly described: Step<{ readonly losses: Float64Array; readonly states: Float32Array }>;
}

export function probeStage(
  workshop: Workshop,
  subject: Subject,
  attributed: AttributeStage,
  aligned: AlignStage,
): ProbeStage {
  const redrawn = subject.definition.tests.sanity ? redrawnStep(workshop, subject) : undefined;
  const { definition, queries } = subject;
  return {
    conflicts: conflictStep(workshop, subject, attributed, aligned),
    outOfDistribution: subject.outOfDistribution && outOfDistributionStep(workshop, subject, subject.outOfDistribution),
    redrawnInstances:
      redrawn === undefined
        ? []
        : definition.instanceMethods
            .filter(({ method }) => !["bm25", "randomInstances"].includes(method))
            .map((each) => ({
              name: each.name,
              role: "method",
              source: instanceStep(
                workshop,
                subject,
                redrawn,
                queries,
                { ...each, options: { ...each.options, ...subject.model.instanceOptions?.[each.name] } },
                "queries, re-drawn weights",
              ),
            })),
    redrawnNeurons:
      redrawn === undefined
        ? []
        : definition.neuronMethods.map(({ name, method, options }) => ({
            name,
            role: "method",
            source: neuronStep(workshop, redrawn, queries, method, options, `${name} of the queries, re-drawn weights`),
          })),
    errors: errorStep(workshop, subject),
    described: workshop.step({
      stage: "analyse",
      title: "Losses and states of the training rows",
      form: "value",
      from: [subject.tuned, subject.train.hash],
      options: { method: "described" },
      tokens: 2 * subject.train.tokens.length,
      work: async (call) => {
        const model = await subject.tuned.get();
        return {
          losses: (await evaluate(model, subject.train, call)).losses,
          states: await readoutStates(model, subject.train, call),
        };
      },
    }),
  };
}

/** A model of the same configuration whose weights are drawn anew; a method that is about the model must change with it. */
function redrawnStep(workshop: Workshop, { base, tuned, definition: { seed } }: Subject): Step<Model> {
  return workshop.step({
    stage: "tune",
    title: "A model with re-drawn weights",
    form: "model",
    from: [tuned],
    options: { method: "redrawn", seed },
    tokens: 0,
    work: (call) => createModel(base.config, { tokenizer: base.tokenizer, ...headOf(base), seed: seed + 1, ...call }),
  });
}

function headOf({ architecture: { head }, labels }: Model) {
  return {
    head:
      head.kind === "classification" ? ({ kind: "classification", labels } as const) : ({ kind: "choice" } as const),
  };
}

function conflictStep(
  workshop: Workshop,
  { definition: { tests, seed }, queries, tuned }: Subject,
  { neurons }: AttributeStage,
  aligned: AlignStage,
): Step<readonly Judged[]> {
  const [ia, na] = [aligned.instances[0], aligned.naInstances];
  return workshop.step({
    stage: "test",
    title: "Conflicts of the two views",
    form: "value",
    from: [tuned, queries.hash, ia.source.key, na.source.key, neurons[0].source.key, aligned.iaNeurons.source.key],
    options: { method: "conflicts", count: tests.conflicts, seed },
    tokens: tests.conflicts * 45,
    work: async (call) => {
      const [model, own, others] = [
        await tuned.get(),
        await neurons[0].source.get(),
        await aligned.iaNeurons.source.get(),
      ];
      const judged: Judged[] = [];
      for (const conflict of (await conflicts(await ia.source.get(), await na.source.get())).slice(
        0,
        tests.conflicts,
      )) {
        const query = selectInstances(queries, [conflict.query]);
        const [naRow, iaRow] = [rowOf(own, conflict.query), rowOf(others, conflict.query)];
        const r = Math.max(1, Math.min(10, rowScores(iaRow, 0).filter((score) => score > 0).length));
        const without = async (row: NeuronAttribution) =>
          (await comprehensiveness(model, query, row, { r: [r], controls: 20, seed, ...call })).points[0];
        const [byNa, byIa] = [await without(naRow), await without(iaRow)];
        judged.push({
          ...conflict,
          r,
          withoutNa: byNa.probabilityChange.mean,
          withoutIa: byIa.probabilityChange.mean,
          withoutRandom: byNa.randomProbabilityChange.mean,
        });
      }
      return judged;
    },
  });
}

/** One row of a neuron attribution as an attribution of its own. */
function rowOf(attribution: NeuronAttribution, row: number): NeuronAttribution {
  const { layers, targetValues, targetLabels, completenessGap, instanceIds } = attribution;
  return {
    ...attribution,
    instances: 1,
    instanceIds: [instanceIds[row]],
    scores: rowScores(attribution, row).slice(),
    targetValues: targetValues.slice(row, row + 1),
    targetLabels: targetLabels.slice(row, row + 1),
    completenessGap: completenessGap.slice(row * layers, (row + 1) * layers),
  };
}

/** What the tuned model gets wrong there, with its influential training rows and neurons by the first method of each kind. */
function outOfDistributionStep(workshop: Workshop, subject: Subject, rows: Instances): Step<OutOfDistribution> {
  const { definition, data, tuned, train } = subject;
  const [{ name, method, options }] = definition.instanceMethods;
  const [neuron] = definition.neuronMethods;
  const evaluated = subject.evaluated(rows, "another distribution");
  return workshop.step({
    stage: "test",
    title: "What the model gets wrong on another distribution",
    form: "value",
    from: [tuned, train.hash, rows.hash],
    options: {
      method: "outOfDistribution",
      instance: [method, options, subject.model.instanceOptions?.[name]],
      neuron,
      most: subject.queries.size,
    },
    tokens: rows.tokens.length + 6 * train.tokens.length,
    work: async () => {
      const { predictions, probabilities } = await evaluated.get();
      const all = Array.from(predictions.keys()).filter(
        (row) => !data.outOfDistributionRight[row].includes(predictions[row]),
      );
      const wrong = all.slice(0, subject.queries.size);
      if (wrong.length === 0) return { wrong, predictions, probabilities, instances: undefined, neurons: undefined };
      const asked = selectInstances(rows, wrong);
      const chosen = { name, method, options: { ...options, ...subject.model.instanceOptions?.[name] } };
      return {
        wrong,
        predictions,
        probabilities,
        instances: await instanceStep(workshop, subject, tuned, asked, chosen, "wrong rows").get(),
        neurons: await neuronStep(
          workshop,
          tuned,
          asked,
          neuron.method,
          neuron.options,
          `${neuron.name} of the wrong rows`,
        ).get(),
      };
    },
  });
}

/** A share of the labels is flipped, a model is tuned on them, and self-influence looks for them. */
function errorStep(workshop: Workshop, subject: Subject): Step<PlantedErrors> | undefined {
  const { definition, data, base, train, tuning } = subject;
  const request = definition.tests.errorFinding;
  if (request === undefined || (tuning.epochs ?? 3) === 0 || data.labels.length < 2) return undefined;
  const { seed } = definition;
  const influence = definition.instanceMethods.find(
    ({ method, options }) => method === "influence" && options["inverse"] === "ekfac",
  );
  return workshop.step({
    stage: "test",
    title: `Finding ${Math.round(100 * request.share)} % flipped labels`,
    form: "value",
    from: [base.hash, train.hash],
    options: { method: "errorFinding", ...request, seed, tuning, ekfac: influence?.options },
    tokens: 3 * (tuning.epochs ?? 3) * train.tokens.length + 16 * train.tokens.length,
    work: async (call) => {
      const count = Math.max(1, Math.round(request.share * train.size));
      const flipped = Array.from(sampleWithout(train.size, count, createRandom(seed, 6))).sort((a, b) => a - b);
      const wrong = await subject.encode(
        data.train.map((row, index) => (flipped.includes(index) ? flippedRow(row, data.labels.length) : row)),
        "with flipped labels",
      );
      const model = await fineTune(base, wrong, { ...tuning, keep: "last", seed, ...call });
      try {
        const parameters = influence?.options["parameters"] ?? "linear";
        const of = (inverse: "identity" | "ekfac") =>
          selfInfluence(model, wrong, { inverse, parameters: parameters as "linear", ...call });
        const byChance = await randomInstances(wrong, selectInstances(wrong, [0]), { seed, ...call });
        const gradients = await of("identity");
        return {
          flipped,
          methods: [
            { name: "Self-influence, gradient norm", scores: gradients },
            { name: "Self-influence, EK-FAC", scores: await of("ekfac") },
            { name: "Random", scores: { ...gradients, scores: byChance.scores } },
          ],
        };
      } finally {
        model.close();
      }
    },
  });
}

function flippedRow(row: StudyRow, labels: number): StudyRow {
  return { ...row, label: (row.label + 1) % labels };
}
