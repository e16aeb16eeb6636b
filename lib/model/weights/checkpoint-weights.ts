// Which stored tensor fills which weight of ours. Every weight must be filled and every tensor read, ignored by its family,
// or the other head's; anything else is refused by name.
import { AttributionError } from "../../errors";
import type { Architecture, HeadKind, StoredType, WeightSource } from "../../../types/architecture";
import type { NativeWeightInfo } from "../../../types/native";
import { readableTypes, type ListedTensor } from "../../storage/listing";
import type { Family } from "../families/family";
import { withoutFusion } from "./fused-experts";

export interface WeightMap {
  readonly weights: readonly WeightSource[];
  /** The head has no tensor and is to be drawn. */
  readonly isNewHead: boolean;
  /** A tied embedding is stored under both of its names; they must be equal. */
  readonly tied: readonly (readonly [ListedTensor, ListedTensor])[];
}

const embedding = "embedding.token.weight";
/** What a checkpoint may lack because it is of another head, and is then drawn. */
const ofClassifier = /^(score|head\.(dense|norm))\.(weight|bias)$/;

/** The name under which a weight of ours is written. */
export function storedName(family: Family, weight: string, head: HeadKind): string {
  return weightNames(family, head, weight, family.prefixes[0])[0];
}

/** All names that a weight of ours may have, given the checkpoint's prefix. */
export function weightNames(family: Family, head: HeadKind, weight: string, prefix: string): string[] {
  const [, module, layer, rest, suffix] = /^((?:layers\.(\d+)\.)?(.*))\.(weight|bias)$/.exec(weight) as unknown as [
    string,
    string,
    string | undefined,
    string,
    string,
  ];
  const own = family.heads?.[head === "maskedLM" ? head : "classification"][module];
  if (own !== undefined) return own.map((name) => storedUnder(module, name.replace("{prefix}", prefix), suffix));
  if (module === "score") return [weight];
  if (module === "output") return family.output.map((name) => `${name}.${suffix}`);
  const [, expert] = /^mlp\.experts\.(\d+)\./.exec(rest) ?? [];
  const ours = expert === undefined ? rest : rest.replace(`.${expert}.`, ".{e}.");
  const theirs = family.modules[layer === undefined ? ours : `layers.{i}.${ours}`];
  if (theirs === undefined)
    throw new AttributionError(
      "unsupported",
      `The family "${family.modelType}" has no name for the weight "${weight}"`,
    );
  return [`${prefix}${theirs.replace("{i}", layer ?? "").replace("{e}", expert ?? "")}.${suffix}`];
}

/** The bias of a tied output is a tensor without a module. */
function storedUnder(module: string, name: string, suffix: string): string {
  return module === "outputBias" ? name : `${name}.${suffix}`;
}

/** Maps the tensors of a checkpoint to the `expected` weights of its architecture. `mayDraw`: a head without tensor is no error. */
export function mapWeights(
  family: Family,
  architecture: Architecture,
  tensors: readonly ListedTensor[],
  expected: readonly NativeWeightInfo[],
  mayDraw: boolean,
): WeightMap {
  const stored = new Map(
    withoutFusion(family, architecture, tensors.map(renamed)).map((tensor) => [tensor.name, tensor]),
  );
  const { kind } = architecture.head;
  const prefix = prefixOf(family, stored);
  const outputs = family.output.map((name) => `${name}.weight`);
  const weights: WeightSource[] = [];
  const unfilled: string[] = [];
  for (const { name: weight, shape } of expected) {
    const names = weightNames(family, kind, weight, prefix);
    const candidates = weight === embedding && architecture.tiedOutput ? [...names, ...outputs] : names;
    const tensor = candidates.map((name) => stored.get(name)).find((found) => found !== undefined);
    if (tensor !== undefined) weights.push(sourceOf(weight, shape, tensor));
    else if (!mayDraw || !ofClassifier.test(weight)) unfilled.push(`"${names[0]}" (${weight})`);
  }
  if (unfilled.length > 0) throw lacking(kind, unfilled);
  refuseUnread(family, architecture, prefix, stored, weights);
  return {
    weights,
    isNewHead: weights.length < expected.length,
    tied: tiedOf(family, architecture, outputs, stored, weights),
  };
}

/** Names that old checkpoints give the weights of LayerNorms, as transformers reads them. */
function renamed(tensor: ListedTensor): ListedTensor {
  const name = tensor.name
    .replace(/LayerNorm\.gamma$/, "LayerNorm.weight")
    .replace(/LayerNorm\.beta$/, "LayerNorm.bias");
  return name === tensor.name ? tensor : { ...tensor, name };
}

function lacking(kind: HeadKind, unfilled: readonly string[]): AttributionError {
  const isBare = kind === "maskedLM" && unfilled.every((name) => /\((head|output)/.test(name));
  const what = isBare
    ? '. It is an encoder without a masked-LM head. Give head: { kind: "classification", labels } to put a new head on it; readoutStates and capture read the encoder alone'
    : "";
  return new AttributionError("missing", `The checkpoint lacks ${listed(unfilled)}${what}`);
}

function prefixOf(family: Family, stored: ReadonlyMap<string, ListedTensor>): string {
  const name = (prefix: string) => weightNames(family, "classification", "layers.0.attention.output.weight", prefix)[0];
  const prefix = family.prefixes.find((one) => stored.has(name(one)));
  if (prefix === undefined) {
    throw new AttributionError(
      "missing",
      `The checkpoint lacks "${name(family.prefixes[0])}"; is it of the family "${family.modelType}"?`,
    );
  }
  return prefix;
}

function sourceOf(weight: string, shape: readonly number[], tensor: ListedTensor): WeightSource {
  if (shape.length !== tensor.shape.length || shape.some((size, i) => size !== tensor.shape[i])) {
    throw new AttributionError(
      "mismatch",
      `Expected "${tensor.name}" to have the shape [${shape.join(", ")}] that the configuration implies, but it has [${tensor.shape.join(", ")}]`,
    );
  }
  if (!readableTypes.has(tensor.dtype)) {
    throw new AttributionError(
      "unsupported",
      `"${tensor.name}" is stored as ${tensor.dtype}; weights may be ${[...readableTypes].join(", ")}`,
    );
  }
  return { ...tensor, dtype: tensor.dtype as StoredType, weight };
}

function refuseUnread(
  family: Family,
  architecture: Architecture,
  prefix: string,
  stored: ReadonlyMap<string, ListedTensor>,
  weights: readonly WeightSource[],
): void {
  const read = new Set(weights.map(({ name }) => name));
  const heads = Object.values(family.heads ?? {}).flatMap((head) => Object.values(head).flat());
  const ofHeads = heads.map((name) => name.replace("{prefix}", prefix));
  const speaks = architecture.head.kind === "causalLM" || architecture.head.kind === "maskedLM";
  const isOtherHead = (name: string) =>
    ofHeads.some((module) => name === module || name === `${module}.weight` || name === `${module}.bias`) ||
    (speaks
      ? name === "score.weight" ||
        (architecture.tiedOutput && family.output.some((module) => name === `${module}.weight`))
      : family.output.some((module) => name.startsWith(`${module}.`)));
  const isIgnored = (name: string) =>
    family.ignored.some((pattern) => pattern.test(name.startsWith(prefix) ? name.slice(prefix.length) : name));
  const unread = [...stored.keys()].filter((name) => !read.has(name) && !isOtherHead(name) && !isIgnored(name));
  if (unread.length === 0) return;
  throw new AttributionError(
    "mismatch",
    `The checkpoint holds ${listed(unread.map((name) => `"${name}"`))}, which a model of the family "${family.modelType}" with this configuration does not have`,
  );
}

/** Pairs of tensors that one weight of ours is stored in twice. */
function tiedOf(
  family: Family,
  architecture: Architecture,
  outputs: readonly string[],
  stored: ReadonlyMap<string, ListedTensor>,
  weights: readonly WeightSource[],
): WeightMap["tied"] {
  const { kind } = architecture.head;
  if ((kind !== "causalLM" && kind !== "maskedLM") || !architecture.tiedOutput) return [];
  const biases = kind === "maskedLM" ? (family.heads?.maskedLM["outputBias"] ?? []) : [];
  const bias = weights.find(({ weight }) => weight === "outputBias.weight");
  const first = weights.find(({ weight }) => weight === embedding);
  const others = outputs
    .map((name) => stored.get(name))
    .filter((tensor) => tensor !== undefined && tensor.name !== first?.name);
  const same = biases.map((name) => stored.get(name)).filter((tensor) => tensor?.name !== bias?.name);
  return [
    ...others.map((other) => [first as ListedTensor, other as ListedTensor] as const),
    ...same.flatMap((other) => (other === undefined ? [] : [[bias as ListedTensor, other] as const])),
  ];
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 6).join(", ");
  return names.length > 6 ? `${shown} and ${names.length - 6} more` : shown;
}
