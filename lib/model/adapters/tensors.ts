// Which stored tensor of an adapter fills which weight of ours: A and B of the modules that it adapts, and weights of its own
// that stand in for the base's.
import { AttributionError } from "../../errors";
import type {
  AdaptedModule,
  Adapter,
  Architecture,
  HeadKind,
  StoredType,
  WeightSource,
} from "../../../types/architecture";
import type { NativeWeightInfo } from "../../../types/native";
import { callNative } from "../../native";
import { readableTypes, type ListedTensor } from "../../storage/listing";
import type { Family } from "../families/family";
import { weightNames } from "../weights/checkpoint-weights";
import type { AdapterConfig } from "./config";

export interface AdapterPlan {
  readonly architecture: Architecture;
  readonly weights: readonly WeightSource[];
}

/** Linear modules of the blocks, which may have an adapter. */
export const adaptable = /^layers\.\d+\.(mlp|attention)\.(?!\w+Norm$|experts\.|shared\.|router$)[\w.]+$/;

/** The architecture with the adapter that the tensors describe; refused by the module's name where they do not fit the base. */
export function planAdapter(
  config: AdapterConfig,
  family: Family,
  base: Architecture,
  tensors: readonly ListedTensor[],
): AdapterPlan {
  const found = sortTensors(config, family, base, tensors);
  const modules = [...found.low].map(([module, { path }]) => adapted(config, module, path, found));
  if (modules.length === 0)
    throw new AttributionError("missing", `${config.path} has no tensors "lora_A" and "lora_B" beside it`);
  const adapter: Adapter = { modules, saved: [...found.saved], dropout: config.dropout };
  const architecture = { ...base, adapter };
  const shapes = new Map(
    callNative((addon) => addon.expectedWeights(architecture)).map(({ name, shape }) => [name, shape]),
  );
  const weights = found.sources.map(({ weight, tensor }) => sourceOf(config, weight, shapes.get(weight), tensor));
  return { architecture, weights };
}

interface Sorted {
  /** Of each adapted module: its name in the base, and the sides that there are. */
  readonly low: Map<string, { readonly path: string; readonly sides: Map<string, ListedTensor> }>;
  readonly saved: Set<string>;
  readonly sources: { readonly weight: string; readonly tensor: ListedTensor }[];
}

function sortTensors(
  config: AdapterConfig,
  family: Family,
  base: Architecture,
  tensors: readonly ListedTensor[],
): Sorted {
  const expected = callNative((addon) => addon.expectedWeights(base));
  const ours = namesOfTheirs(family, base.head.kind, expected);
  const sorted: Sorted = { low: new Map(), saved: new Set(), sources: [] };
  for (const tensor of tensors) {
    const name = withoutWrappers(tensor.name);
    refuseOtherKinds(config, tensor.name);
    const [, path, side] = /^(.*)\.lora_([AB])(?:\.[^.]+)?\.weight$/.exec(name) ?? [];
    if (side === undefined) addSaved(config, sorted, ours, name, tensor);
    else addSide(config, sorted, ours, { path, side }, tensor);
  }
  return sorted;
}

function addSide(
  config: AdapterConfig,
  sorted: Sorted,
  ours: ReadonlyMap<string, string>,
  { path, side }: { readonly path: string; readonly side: string },
  tensor: ListedTensor,
): void {
  const weight = ours.get(`${path}.weight`);
  if (weight === undefined) throw foreign(config, `adapts "${path}", which its base does not have`);
  const module = weight.replace(/\.weight$/, "");
  if (!adaptable.test(module))
    throw new AttributionError(
      "unsupported",
      `The adapter of ${config.path} adapts "${path}" (${module}). Adapters of the blocks' linear modules are read`,
    );
  const entry = sorted.low.get(module) ?? { path, sides: new Map<string, ListedTensor>() };
  if (entry.sides.has(side)) throw foreign(config, `has two tensors "lora_${side}" for "${path}"`);
  entry.sides.set(side, tensor);
  sorted.low.set(module, entry);
  sorted.sources.push({ weight: `${module}.lora${side}.weight`, tensor });
}

/** A whole weight, as `modules_to_save` keeps it. */
function addSaved(
  config: AdapterConfig,
  sorted: Sorted,
  ours: ReadonlyMap<string, string>,
  name: string,
  tensor: ListedTensor,
): void {
  const weight = ours.get(name.replace(/\.modules_to_save(\.[^.]+)?(?=\.(weight|bias)$)/, ""));
  if (weight === undefined) throw foreign(config, `holds "${tensor.name}", which its base does not have`);
  sorted.saved.add(weight.replace(/\.(weight|bias)$/, ""));
  sorted.sources.push({ weight, tensor });
}

function adapted(config: AdapterConfig, module: string, path: string, { low }: Sorted): AdaptedModule {
  const sides = low.get(module)?.sides;
  const missing = ["A", "B"].find((side) => sides?.has(side) !== true);
  if (missing !== undefined) throw foreign(config, `has no "lora_${missing}" for "${path}"`);
  const rank = config.rankOf(path);
  const stored = sides?.get("A")?.shape[0];
  if (stored !== rank) throw foreign(config, `has rank ${stored} at "${path}", but its configuration says ${rank}`);
  return { module, rank, scale: config.scaleOf(path) };
}

function refuseOtherKinds(config: AdapterConfig, name: string): void {
  const kinds: readonly (readonly [RegExp, string])[] = [
    [/\.lora_magnitude_vector\b/, "a DoRA adapter"],
    [/\.lora_embedding_[AB]\b/, "an adapter of an embedding"],
    [/\.lora_[AB](\.[^.]+)?\.bias$/, "an adapter with biases"],
  ];
  const kind = kinds.find(([pattern]) => pattern.test(name));
  if (kind !== undefined)
    throw new AttributionError(
      "unsupported",
      `The adapter of ${config.path} holds "${name}", of ${kind[1]}. This library does not support it; merge it with PEFT (merge_and_unload)`,
    );
}

function sourceOf(
  config: AdapterConfig,
  weight: string,
  shape: readonly number[] | undefined,
  tensor: ListedTensor,
): WeightSource {
  if (shape?.length !== tensor.shape.length || shape.some((size, i) => size !== tensor.shape[i]))
    throw foreign(
      config,
      `has "${tensor.name}" of the shape [${tensor.shape.join(", ")}], but its base has [${shape?.join(", ") ?? ""}] there`,
    );
  if (!readableTypes.has(tensor.dtype))
    throw new AttributionError(
      "unsupported",
      `"${tensor.name}" is stored as ${tensor.dtype}; weights may be ${[...readableTypes].join(", ")}`,
    );
  return { ...tensor, dtype: tensor.dtype as StoredType, weight };
}

function foreign(config: AdapterConfig, words: string): AttributionError {
  return new AttributionError("mismatch", `The adapter of ${config.path} ${words}. Is it of another base?`);
}

const wrappers = ["module.", "_orig_mod.", "base_model.model."] as const;

function withoutWrappers(name: string): string {
  const wrapper = wrappers.find((one) => name.startsWith(one));
  return wrapper === undefined ? name : withoutWrappers(name.slice(wrapper.length));
}

/** Our weights by every name that the family's checkpoints give them. */
function namesOfTheirs(
  family: Family,
  head: HeadKind,
  expected: readonly NativeWeightInfo[],
): ReadonlyMap<string, string> {
  const ours = new Map<string, string>();
  for (const prefix of family.prefixes)
    for (const { name } of expected)
      for (const theirs of weightNames(family, head, name, prefix)) if (!ours.has(theirs)) ours.set(theirs, name);
  return ours;
}
