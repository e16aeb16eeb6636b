// From claims and a base model to a subject: encode, fine-tune, test on held-out claims, choose queries.
import { encode } from "../../data/encode";
import type { Template } from "../../data/templates";
import { evaluate } from "../../model/evaluate";
import { fineTuneWithHistory } from "../../model/fine-tune";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import { chooseQueries, datasetOf, truthOf, type Claim } from "./claims";
import type { Session } from "./session";
import type { Subject } from "./subject";

export interface SubjectPlan extends Pick<Subject, "name" | "data" | "base" | "recipe" | "tuning"> {
  readonly template?: Template;
  readonly maxLength?: number;
  readonly queries: number;
}

export async function tunedSubject(session: Session, plan: SubjectPlan): Promise<Subject> {
  const { data, base, recipe, tuning } = plan;
  const queryClaims = chooseQueries(data.heldOut, plan.queries, session.seed);
  const { train, heldOut, queries } = await session.step(
    "Reading and encoding the claims",
    async () => ({
      train: await encoded(plan, data.train, "train"),
      heldOut: await encoded(plan, data.heldOut, "held out"),
      queries: await encoded(plan, queryClaims, "queries"),
    }),
    (sets) =>
      `${sets.train.size} training and ${sets.heldOut.size} held-out claims, ${sets.queries.size} of these are the queries`,
  );
  const { model, history } = await tune(session, plan, train, heldOut);
  const { heldOutEvaluation, queryEvaluation } = await session.step(
    "Testing on held-out claims",
    async (call) => ({
      heldOutEvaluation: await evaluate(model, heldOut, call),
      queryEvaluation: await evaluate(model, queries, call),
    }),
    (tested) => `accuracy ${(100 * tested.heldOutEvaluation.accuracy).toFixed(1)} %`,
  );
  return {
    name: plan.name,
    data,
    base,
    model,
    history,
    recipe,
    tuning,
    train,
    heldOut,
    queries,
    queryClaims,
    heldOutEvaluation,
    queryEvaluation,
    truth: truthOf(data.train, queryClaims),
  };
}

async function encoded(
  { base, data, template, maxLength }: SubjectPlan,
  claims: readonly Claim[],
  name: string,
): Promise<Instances> {
  const dataset = await datasetOf(claims, data.labels, `${data.name}, ${name}`);
  return encode(base, dataset, {
    ...(template === undefined ? {} : { template }),
    ...(maxLength === undefined ? {} : { maxLength }),
  });
}

/** No epochs: the model is taken as it is. */
async function tune(
  session: Session,
  { base, tuning }: SubjectPlan,
  train: Instances,
  heldOut: Instances,
): Promise<{ model: Model; history: Subject["history"] }> {
  if (tuning.epochs === 0) return { model: base, history: undefined };
  const { model, ...history } = await session.step(
    `Training on ${train.size} claims`,
    (call) => fineTuneWithHistory(base, train, { ...tuning, seed: session.seed, evaluation: heldOut, ...call }),
    ({ losses }) => `loss ${losses[0].toFixed(2)} → ${(losses.at(-1) ?? NaN).toFixed(3)}`,
  );
  return { model, history };
}
