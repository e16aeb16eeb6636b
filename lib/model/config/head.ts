// Which head reads the last hidden state: asked for by the caller, else what config.json says. Also the reverse: the
// config.json that states the head, as `saveModel` writes it and transformers reads it.
import { AttributionError, expected, shown } from "../../errors";
import type { Architecture, HeadKind } from "../../../types/architecture";
import type { Family } from "../families/family";
import { setting, unsupported, type Config } from "./config-reader";

/** A head to put on the model. Without `labels` a classification keeps the checkpoint's own. */
export type HeadRequest =
  | { readonly kind: "causalLM" }
  | { readonly kind: "maskedLM" }
  | { readonly kind: "classification"; readonly labels?: readonly string[] }
  | { readonly kind: "choice" };

export interface Head {
  readonly kind: HeadKind;
  readonly labels: readonly string[];
}

/** config.json's own key for a head that Hugging Face has no class for. */
export const headKey = "attribution_head";
const mostLabels = 65_536;

export function resolveHead(config: Config, request: HeadRequest | undefined, family: Family): Head {
  const kind = request === undefined ? storedKind(config, family) : kindOf(request);
  refuseOtherLanguageHead(kind, family);
  if (kind !== "classification") return { kind, labels: [] };
  const asked = request?.kind === "classification" ? request.labels : undefined;
  if (request === undefined) refuseOtherProblems(config);
  const labels = asked === undefined ? storedLabels(config, request === undefined) : checkedLabels(asked);
  if (labels.length < 2)
    throw unsupported(
      `a classification with ${labels.length} label(s). Give head: { kind: "classification", labels } or { kind: "choice" }`,
    );
  if (asked !== undefined) refuseOtherOrder(config, labels);
  return { kind, labels };
}

function kindOf(request: HeadRequest): HeadKind {
  const kinds: readonly HeadKind[] = ["causalLM", "maskedLM", "classification", "choice"];
  if (typeof request !== "object" || request === null || !kinds.includes(request.kind)) {
    throw expected("head", 'an object with "kind" one of "causalLM", "maskedLM", "classification", "choice"', request);
  }
  return request.kind;
}

/** By our own key, else by Hugging Face's class; a bare base model is read as a language model. */
function storedKind(config: Config, family: Family): HeadKind {
  const own = setting(config, headKey);
  if (own === "choice") return own;
  if (own !== undefined) throw unsupported(`"${headKey}": ${shown(own)}`);
  const names = setting(config, "architectures");
  const name = Array.isArray(names) ? String(names[0] ?? "") : "";
  if (name.endsWith("ForSequenceClassification")) return "classification";
  if (family.maskedLM === undefined) return "causalLM";
  const isRead = name === "" || ["Model", "ForMaskedLM", "ForPreTraining"].some((end) => name.endsWith(end));
  if (!isRead || name.endsWith("LMHeadModel")) throw unsupported(`the class "${name}"`);
  return "maskedLM";
}

/** A family's language models are causal or masked. */
function refuseOtherLanguageHead(kind: HeadKind, { modelType, causalLM, maskedLM }: Family): void {
  const missing = kind === "causalLM" ? causalLM === undefined : kind === "maskedLM" && maskedLM === undefined;
  if (!missing) return;
  const own = kind === "causalLM" ? "maskedLM" : "causalLM";
  throw new AttributionError(
    "unsupported",
    `Models of the family "${modelType}" have no ${kind} head. Give head: { kind: "${own}" } or a classification`,
  );
}

function refuseOtherProblems(config: Config): void {
  const problem = setting(config, "problem_type");
  if (problem !== undefined && problem !== "single_label_classification")
    throw unsupported(`"problem_type": ${shown(problem)}`);
}

function checkedLabels(labels: readonly string[]): readonly string[] {
  const isList =
    Array.isArray(labels) &&
    labels.length >= 2 &&
    labels.length <= mostLabels &&
    labels.every((label) => typeof label === "string" && label !== "");
  if (!isList || new Set(labels).size !== labels.length)
    throw expected("head.labels", "at least two different names", labels);
  return [...(labels as readonly string[])];
}

/** `id2label`, else `num_labels` numbered names, else (for a stored classifier) transformers' default of two. */
function storedLabels(config: Config, isStored: boolean): readonly string[] {
  const names = setting(config, "id2label");
  if (names !== undefined) return labelsOf(names);
  const number = setting(config, "num_labels") ?? (isStored ? 2 : undefined);
  if (number === undefined)
    throw new AttributionError(
      "invalid",
      'The checkpoint names no labels. Give head: { kind: "classification", labels: [...] }',
    );
  if (typeof number !== "number" || !Number.isInteger(number) || number < 1 || number > mostLabels) {
    throw new AttributionError(
      "invalid",
      `Expected "num_labels" in config.json to be a whole number within 1–${mostLabels} but received ${shown(number)}`,
    );
  }
  return Array.from({ length: number }, (_, i) => `LABEL_${i}`);
}

function labelsOf(names: unknown): readonly string[] {
  const table = new Map<string, unknown>(Object.entries(typeof names === "object" ? (names as object) : {}));
  const labels = Array.from({ length: table.size }, (_, i) => table.get(String(i)));
  if (Array.isArray(names) || !labels.every((label) => typeof label === "string") || labels.length > mostLabels) {
    throw new AttributionError(
      "invalid",
      `Expected "id2label" in config.json to name 0, 1, 2 … but received ${shown(names)}`,
    );
  }
  return labels;
}

/** The checkpoint's own names in another order would silently change what the classes mean. */
function refuseOtherOrder(config: Config, labels: readonly string[]): void {
  if (setting(config, "id2label") === undefined) return;
  const stored = labelsOf(setting(config, "id2label"));
  const isPermuted =
    stored.length === labels.length &&
    stored.every((label) => labels.includes(label)) &&
    stored.some((label, i) => label !== labels[i]);
  if (isPermuted)
    throw new AttributionError(
      "mismatch",
      `The checkpoint's labels are in the order ${stored.join(", ")}, but head.labels has ${labels.join(", ")}`,
    );
}

/** What `Architecture.head` holds. */
export function headSize(head: Head): Architecture["head"] {
  return { kind: head.kind, labels: head.kind === "choice" ? 1 : head.labels.length };
}

/** config.json with this head (and these rows of vocabulary) stated. */
export function describeHead(config: Config, family: Family, head: Head, vocabulary: number): Config {
  const { [headKey]: _own, architectures: _classes, ...others } = config;
  const isLanguage = head.kind === "causalLM" || head.kind === "maskedLM";
  const common = {
    architectures: [isLanguage ? (family.causalLM ?? family.maskedLM) : family.classification],
    ...others,
    vocab_size: vocabulary,
  };
  if (isLanguage) return common;
  const { problem_type: _problem, num_labels: _number, id2label: _names, label2id: _ids, ...rest } = common as Config;
  const labels = head.kind === "choice" ? ["LABEL_0"] : head.labels;
  const stated = {
    ...rest,
    num_labels: labels.length,
    id2label: Object.fromEntries(labels.map((label, i) => [String(i), label])),
    label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
  };
  return head.kind === "choice"
    ? { ...stated, [headKey]: "choice" }
    : { ...stated, problem_type: "single_label_classification" };
}
