// All stages over one subject, in the order of the framework: instances and neurons, then both aligned, then tested.
import { readoutStates } from "../../../model/capture";
import { evaluate } from "../../../model/evaluate";
import type { Session } from "../session";
import type { Subject } from "../subject";
import { align, type AlignmentStage } from "./alignment";
import { findConflicts, type Judged } from "./conflicts";
import { attributeInstances, type InstanceStage } from "./instances";
import type { InstanceMethod } from "./method";
import { testNeurons, type NeuronTestStage } from "./neuron-tests";
import { attributeNeurons, type NeuronStage } from "./neurons";
import { testTuning, type TuningTest } from "./tuning-test";

export interface Findings {
  readonly subject: Subject;
  readonly instances: InstanceStage;
  readonly neurons: NeuronStage;
  readonly aligned: AlignmentStage;
  readonly neuronTests: NeuronTestStage;
  readonly conflicts: readonly Judged[];
  readonly tuningTests: readonly TuningTest[];
  /** Losses and readout states of the training claims, for how varied the chosen ones are. */
  readonly described: { readonly losses: Float64Array; readonly states: Float32Array };
}

export async function runStages(session: Session, subject: Subject): Promise<Findings> {
  const instances = await attributeInstances(session, subject);
  const neurons = await attributeNeurons(session, subject);
  const aligned = await align(instances, neurons);
  const neuronTests = await testNeurons(session, subject, neurons, aligned);
  const conflicts = await findConflicts(session, subject, instances, neurons, aligned);
  const described = await session.step("Losses and states of the training claims", async (call) => ({
    losses: (await evaluate(subject.model, subject.train, call)).losses,
    states: await readoutStates(subject.model, subject.train, call),
  }));
  const tuningTests = await testTuning(session, subject, [instances.influence, aligned.naInstances]);
  return { subject, instances, neurons, aligned, neuronTests, conflicts, tuningTests, described };
}

/** Every method that ranks training claims, the controls last. */
export function rankingMethods({
  instances,
  aligned,
}: Pick<Findings, "instances" | "aligned">): readonly InstanceMethod[] {
  const { dot, cosine, stored, influence, otherInfluences, representation, bm25, random } = instances;
  return [
    dot,
    cosine,
    stored,
    influence,
    ...otherInfluences,
    aligned.naInstances,
    ...(aligned.naInstancesPaper ? [aligned.naInstancesPaper] : []),
    representation,
    bm25,
    random,
  ];
}
