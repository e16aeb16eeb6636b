// The target F that neurons are scored against.
import type { Instances } from "../../types/data";
import type { NativeTarget } from "../../types/native";
import { requireLabels } from "../data/require-instances";
import { expected } from "../errors";
import { oneOf } from "../options";

export interface TargetOptions {
  /** What F is. @default "probability" */
  readonly target?: "probability" | "logProbability" | "logit";
  /** Whose F: the predicted class (or choice, or next token), the gold one, or a class per instance. @default "predicted" */
  readonly of?: "predicted" | "gold" | ArrayLike<number>;
  /** A second class per instance; F becomes F(of) − F(contrast). */
  readonly contrast?: ArrayLike<number>;
}

export const targets = ["probability", "logProbability", "logit"] as const;
export const targetOptionNames = ["target", "of", "contrast"] as const satisfies readonly (keyof TargetOptions)[];

export function targetOf(options: Readonly<Record<string, unknown>>, instances: Instances): NativeTarget {
  const kind = oneOf(options, "target", "probability", targets);
  const of = options["of"] ?? "predicted";
  const labels =
    typeof of === "string" ? oneOf({ of }, "of", "predicted", ["predicted", "gold"]) : classes("of", of, instances);
  if (labels === "gold") requireLabels(instances, "instances");
  if (options["contrast"] === undefined) return { of: kind, labels };
  return { of: kind, labels, contrast: classes("contrast", options["contrast"], instances) };
}

/** The target as provenance states it. */
export function shownTarget({ of, labels, contrast }: NativeTarget): Record<string, unknown> {
  return {
    target: of,
    of: typeof labels === "string" ? labels : [...labels],
    contrast: contrast ? [...contrast] : null,
  };
}

/** Words for F, e.g. "probability of the predicted class" or "logit of the gold class minus that of the contrast class". */
export function targetWords(options: Readonly<Record<string, unknown>>): string {
  const target = oneOf(options, "target", "probability", targets);
  const of = options["of"] ?? "predicted";
  const kind = target === "logProbability" ? "log-probability (nats)" : target;
  const whose = `${kind} of the ${typeof of === "string" ? of : "given"} class`;
  return options["contrast"] === undefined ? whose : `${whose} minus that of the contrast class`;
}

function classes(name: string, value: unknown, instances: Instances): Int32Array {
  const list = value as ArrayLike<number>;
  if (!(Array.isArray(value) || ArrayBuffer.isView(value)) || list.length !== instances.size) {
    throw expected(
      name,
      `${name === "of" ? '"predicted", "gold" or ' : ""}a class for each of the ${instances.size} instances`,
      value,
    );
  }
  return Int32Array.from(list, (label) => {
    if (!Number.isInteger(label) || label < 0) throw expected(name, "classes, whole numbers of at least 0", label);
    return label;
  });
}
