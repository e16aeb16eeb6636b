// Neuron attribution: the MLP neurons and the attention heads that carry each answer, of the queries and of the training claims.
import { activation } from "../../../neuron/activation";
import { gradientTimesActivation } from "../../../neuron/gradient-times-activation";
import { integratedGradients } from "../../../neuron/integrated-gradients";
import type { NeuronAttribution } from "../../../../types/results";
import type { Session } from "../session";
import type { Subject } from "../subject";

export interface NeuronStage {
  /** Of the queries. */
  readonly integrated: NeuronAttribution;
  readonly activation: NeuronAttribution;
  readonly gradientTimesActivation: NeuronAttribution;
  readonly heads: NeuronAttribution;
  /** Of the training claims. */
  readonly train: NeuronAttribution;
  /** By the paper's recipe, which scores pre-activations: undefined where the MLP is gated and has no single one. */
  readonly paper: { readonly queries: NeuronAttribution; readonly train: NeuronAttribution } | undefined;
}

export async function attributeNeurons(
  session: Session,
  { model, train, queries, recipe }: Subject,
): Promise<NeuronStage> {
  const nodes = recipe.trainNodes;
  const ofQueries = await session.step(
    "Integrated gradients of the queries: neurons, heads",
    async (call) => ({
      integrated: await integratedGradients(model, queries, call),
      heads: await integratedGradients(model, queries, { site: "heads", ...call }),
    }),
    ({ integrated }) => `completeness gap at most ${largest(integrated.completenessGap).toExponential(0)}`,
  );
  const plain = await session.step("Activation, gradient × activation", async (call) => ({
    activation: await activation(model, queries, call),
    gradientTimesActivation: await gradientTimesActivation(model, queries, call),
  }));
  const ofTrain = await session.step(`Integrated gradients of ${train.size} training claims`, (call) =>
    integratedGradients(model, train, { nodes, ...call }),
  );
  const paper = model.architecture.gated
    ? undefined
    : await session.step("The same by the paper's recipe", async (call) => ({
        queries: await integratedGradients(model, queries, { preset: "paper", ...call }),
        train: await integratedGradients(model, train, { preset: "paper", nodes, ...call }),
      }));
  return { ...ofQueries, ...plain, train: ofTrain, paper };
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
