// Self-influence: each training instance's score with itself, without the scores of all the pairs.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { GradientStore, SelfInfluence } from "../../types/store";
import { checkLosses } from "../model/fit";
import { handleOf } from "../model/model";
import { libtorchVersion, native, runNative } from "../native";
import { onlyKnown } from "../options";
import { provenance } from "../provenance";
import {
  type InfluenceOptions,
  influenceOptionNames,
  influenceParams,
  influenceUnit,
  resolvedInfluence,
} from "./influence";
import { doubtsFor, nativeStoreOf } from "./store/native-store";
import { preconditionerOf, shownDamping, unitOf } from "./store/preconditioners";
import { originOf, requireStore, type ScoreOptions, type StoreSimilarityOptions } from "./store/scores";

export type StoreSelfInfluenceOptions = Omit<ScoreOptions, "similarity" | "topK"> &
  Pick<StoreSimilarityOptions, "preconditioner">;

export interface SelfInfluenceOptions extends Omit<InfluenceOptions, "inverse" | "preset"> {
  /** As for `influence`; "identity" gives the squared norms of the gradients. "cg" and "lissa" solve for every training instance. @default "identity" */
  readonly inverse?: InfluenceOptions["inverse"];
}

/**
 * Each training instance's score with itself, gᵀ M g with g its loss gradient: large for mislabelled and untypical instances. Of a store
 * M is the `preconditioner`'s matrix as in storeSimilarity; of a model M is (H + λI)⁻¹ as in influence. The diagonal of the method's own
 * scores [train, train], which are not computed. Not below 0 where M is positive definite ("lissa" and "arnoldi" need not be).
 * Cost: a store is read once ("gaussNewton", "trak": twice; "dataInf": three times, with a matrix as "gaussNewton");
 * a model runs once per instance ("ekfac": after the fit; "cg", "lissa": after solves as for as many queries).
 * @returns scores [train]
 * @example const { scores } = await selfInfluence(store, { preconditioner: "trak" });
 * const exact = await selfInfluence(model, train, { inverse: "ekfac", parameters: "mlp" });
 */
export function selfInfluence(store: GradientStore, options?: StoreSelfInfluenceOptions): Promise<SelfInfluence>;
export function selfInfluence(model: Model, train: Instances, options?: SelfInfluenceOptions): Promise<SelfInfluence>;
export function selfInfluence(
  subject: GradientStore | Model,
  data?: StoreSelfInfluenceOptions | Instances,
  options?: SelfInfluenceOptions,
): Promise<SelfInfluence> {
  const isModel = typeof subject === "object" && subject !== null && "architecture" in subject;
  return isModel
    ? ofModel(subject, data as Instances, options)
    : ofStore(subject, data as StoreSelfInfluenceOptions | undefined);
}

async function ofModel(model: Model, train: Instances, options?: SelfInfluenceOptions): Promise<SelfInfluence> {
  const given = onlyKnown(
    options,
    influenceOptionNames.filter((name) => name !== "preset"),
  );
  checkLosses(model, train, "train");
  const params = await influenceParams(model, train, given, "identity");
  const { scores } = await runNative(
    (control) => native().selfInfluence(handleOf(model), train, params, control),
    options,
  );
  return Object.freeze({
    kind: "selfInfluence",
    scores,
    train: train.size,
    trainIds: train.ids,
    unit: params.inverse === "identity" ? "squared norm of the loss gradient" : influenceUnit,
    provenance: provenance({
      method: "selfInfluence",
      options: resolvedInfluence(params),
      model,
      data: { train },
      libtorch: libtorchVersion(),
    }),
  });
}

async function ofStore(store: GradientStore, options?: StoreSelfInfluenceOptions): Promise<SelfInfluence> {
  const given = onlyKnown(options, ["signal", "onProgress", "damping", "memory", "preconditioner"]);
  requireStore(store);
  const { kind, damping, memoryBytes } = preconditionerOf(given);
  const doubts = await doubtsFor(kind, store, { losses: new Float32Array(0) });
  const params = {
    ...doubts,
    preconditioner: kind,
    similarity: "dot",
    damping,
    top: 0,
    memoryBytes,
  } as const;
  const scores = await runNative((control) => native().storeSelfScores(nativeStoreOf(store), params, control), options);
  const resolved = {
    preconditioner: kind,
    damping: shownDamping(kind, damping),
    precision: store.precision,
    ...store.settings,
  };
  return Object.freeze({
    kind: "selfInfluence",
    scores,
    train: store.rows,
    trainIds: store.trainIds,
    unit: unitOf(kind, "dot"),
    provenance: originOf("selfInfluence", store, resolved),
  });
}
