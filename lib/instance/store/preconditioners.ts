// The preconditioners of a store's scores, a row each: the one list from which names, methods, units and refusals follow.
import type { Preconditioner } from "../../../types/store";
import { AttributionError } from "../../errors";
import { leastAboveZero, memoryOf, number, oneOf } from "../../options";

interface Row {
  /** The public function that scores under it. */
  readonly method: string;
  /** What a score is. */
  readonly unit: string;
  /** What its cosine is; none where it has no cosine. */
  readonly cosine?: string;
  /** Whether it divides by a damped matrix. */
  readonly damped: boolean;
  /** Whether its features are gradients of log-odds, ∇ log(p / (1 − p)), and not of losses. */
  readonly logOdds?: boolean;
}

const nats = "nats of query loss per unit of training weight";

const preconditioners: Readonly<Record<Preconditioner, Row>> = {
  none: {
    method: "storeSimilarity",
    unit: "inner product of loss gradients",
    cosine: "cosine of loss gradients, −1–1",
    damped: false,
  },
  gaussNewton: {
    method: "projectedGaussNewton",
    unit: nats,
    cosine: "cosine of loss gradients under H^(-1/2), −1–1",
    damped: true,
  },
  dataInf: { method: "dataInf", unit: nats, damped: true },
  trak: {
    method: "trak",
    unit: "change of the query's log-odds by the training instance, linearised",
    damped: true,
    logOdds: true,
  },
};

const names = Object.keys(preconditioners) as Preconditioner[];

/** The methods that score gradient features. */
export const featureMethods: readonly string[] = names.map((name) => preconditioners[name].method);

export interface ChosenPreconditioner {
  readonly kind: Preconditioner;
  readonly similarity: "dot" | "cosine";
  readonly damping: number;
  readonly memoryBytes: number;
}

export function preconditionerOf(given: Readonly<Record<string, unknown>>): ChosenPreconditioner {
  const kind = oneOf(given, "preconditioner", "none", names);
  const similarity = oneOf(given, "similarity", "dot", ["dot", "cosine"]);
  if (similarity === "cosine" && preconditioners[kind].cosine === undefined)
    throw new AttributionError(
      "unsupported",
      `The cosine is defined without preconditioner and with "gaussNewton", not with "${kind}"`,
    );
  return {
    kind,
    similarity,
    damping: number(given, "damping", 0.1, leastAboveZero),
    memoryBytes: memoryOf(given, "1 GB"),
  };
}

export function methodOf(kind: Preconditioner): string {
  return preconditioners[kind].method;
}

export function unitOf(kind: Preconditioner, similarity: "dot" | "cosine"): string {
  const { unit, cosine } = preconditioners[kind];
  return similarity === "cosine" && cosine !== undefined ? cosine : unit;
}

/** The damping as a provenance states it: none where nothing is damped. */
export function shownDamping(kind: Preconditioner, damping: number): number | null {
  return preconditioners[kind].damped ? damping : null;
}

export function usesLogOdds(kind: Preconditioner): boolean {
  return preconditioners[kind].logOdds === true;
}
