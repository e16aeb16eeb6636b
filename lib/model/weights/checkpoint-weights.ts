// Which stored tensor fills which weight of ours. Every weight must be filled and every tensor read, ignored by its family,
// or the other head's; anything else is refused by name.
import { AttributionError } from "../../errors";
import type { Architecture, StoredType, WeightSource } from "../../../types/architecture";
import type { NativeWeightInfo } from "../../../types/native";
import { readableTypes, type ListedTensor } from "../../storage/listing";
import type { Family } from "../families/family";

export interface WeightMap {
  readonly weights: readonly WeightSource[];
  /** The head has no tensor and is to be drawn. */
  readonly isNewHead: boolean;
  /** A tied embedding is stored under both of its names; they must be equal. */
  readonly tied: readonly (readonly [ListedTensor, ListedTensor])[];
}

const embedding = "embedding.token.weight";
const score = "score.weight";

/** The name under which a weight of ours is written. */
export function storedName(family: Family, weight: string): string {
  return namesOf(family, weight, family.prefixes[0])[0];
}

/** All names that a weight of ours may have, given the checkpoint's prefix. */
function namesOf(family: Family, weight: string, prefix: string): string[] {
  const [, module, layer, rest, suffix] = /^((?:layers\.(\d+)\.)?(.*))\.(weight|bias)$/.exec(weight) as unknown as [
    string,
    string,
    string | undefined,
    string,
    string,
  ];
  if (module === "score") return [weight];
  if (module === "output") return family.output.map((name) => `${name}.${suffix}`);
  const theirs = family.modules[layer === undefined ? rest : `layers.{i}.${rest}`];
  if (theirs === undefined)
    throw new AttributionError(
      "unsupported",
      `The family "${family.modelType}" has no name for the weight "${weight}"`,
    );
  return [`${prefix}${theirs.replace("{i}", layer ?? "")}.${suffix}`];
}

/** Maps the tensors of a checkpoint to the `expected` weights of its architecture. `mayDraw`: a head without tensor is no error. */
export function mapWeights(
  family: Family,
  architecture: Architecture,
  tensors: readonly ListedTensor[],
  expected: readonly NativeWeightInfo[],
  mayDraw: boolean,
): WeightMap {
  const stored = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const prefix = prefixOf(family, stored);
  const outputs = family.output.map((name) => `${name}.weight`);
  const weights: WeightSource[] = [];
  const unfilled: string[] = [];
  for (const { name: weight, shape } of expected) {
    const names = namesOf(family, weight, prefix);
    const candidates = weight === embedding && architecture.tiedOutput ? [...names, ...outputs] : names;
    const tensor = candidates.map((name) => stored.get(name)).find((found) => found !== undefined);
    if (tensor !== undefined) weights.push(sourceOf(weight, shape, tensor));
    else if (weight !== score || !mayDraw) unfilled.push(`"${names[0]}" (${weight})`);
  }
  if (unfilled.length > 0) throw new AttributionError("missing", `The checkpoint lacks ${listed(unfilled)}`);
  refuseUnread(family, architecture, prefix, stored, weights);
  return {
    weights,
    isNewHead: weights.length < expected.length,
    tied: tiedOf(architecture, outputs, stored, weights),
  };
}

function prefixOf(family: Family, stored: ReadonlyMap<string, ListedTensor>): string {
  const name = (prefix: string) => namesOf(family, "layers.0.mlp.down.weight", prefix)[0];
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
  const isOtherHead = (name: string) =>
    architecture.head.kind === "causalLM"
      ? name === score || (architecture.tiedOutput && family.output.some((module) => name === `${module}.weight`))
      : family.output.some((module) => name.startsWith(`${module}.`));
  const isIgnored = (name: string) =>
    family.ignored.some((pattern) => pattern.test(name.startsWith(prefix) ? name.slice(prefix.length) : name));
  const unread = [...stored.keys()].filter((name) => !read.has(name) && !isOtherHead(name) && !isIgnored(name));
  if (unread.length === 0) return;
  throw new AttributionError(
    "mismatch",
    `The checkpoint holds ${listed(unread.map((name) => `"${name}"`))}, which a model of the family "${family.modelType}" with this configuration does not have`,
  );
}

function tiedOf(
  architecture: Architecture,
  outputs: readonly string[],
  stored: ReadonlyMap<string, ListedTensor>,
  weights: readonly WeightSource[],
): WeightMap["tied"] {
  if (architecture.head.kind !== "causalLM" || !architecture.tiedOutput) return [];
  const first = weights.find(({ weight }) => weight === embedding);
  const others = outputs
    .map((name) => stored.get(name))
    .filter((tensor) => tensor !== undefined && tensor.name !== first?.name);
  return others.map((other) => [first as ListedTensor, other as ListedTensor] as const);
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 6).join(", ");
  return names.length > 6 ? `${shown} and ${names.length - 6} more` : shown;
}
