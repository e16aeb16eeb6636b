// Golden arrays by name, the tiny models they were computed on, and the instances they speak of.
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { storedName } from "../../lib/model/weights/checkpoint-weights";
import { familyOf } from "../../lib/model/families";
import { loadModel, type LoadModelOptions } from "../../lib/model/load-model";
import type { HeadKind } from "../../types/architecture";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { readTensors, type Tensor } from "../../lib/storage/tensors";
import { cases, golden, headOf } from "./golden-cases";

export type Tensors = Readonly<Record<string, Tensor>>;

/** Cases that state a family's arithmetic (the others state file formats). */
export const familyCases = cases.filter((name) => !/^(format|hub-names)-/.test(name));
export const languageModels = familyCases.filter((name) => !/-(classification|choice)$/.test(name));

export async function goldenTensors(...path: string[]): Promise<Tensors> {
  return (await readTensors(join(golden, ...path))).tensors;
}

export function open(name: string, options: LoadModelOptions = {}): Promise<Model> {
  return loadModel(join(golden, name), { head: headOf(name), ...options });
}

/** The rows of packed tokens. */
export function rowsOf(tensors: Tensors, prefix = ""): Int32Array[] {
  const [tokens, offsets] = [tensors[`${prefix}tokens`].data as Int32Array, tensors[`${prefix}rowOffsets`].data];
  return Array.from({ length: offsets.length - 1 }, (_, row) => tokens.slice(offsets[row], offsets[row + 1]));
}

/** Rows of each group of `groupOffsets`. */
export function groupsOf(tensors: Tensors): number[] {
  const offsets = tensors["groupOffsets"].data;
  return Array.from(offsets.slice(1), (end, i) => end - offsets[i]);
}

/** The instances of a model case. */
export async function instancesOf(name: string, kind: HeadKind): Promise<Instances> {
  const tensors = await goldenTensors(name, "golden.safetensors");
  return createInstances({
    kind,
    rows: rowsOf(tensors),
    groups: kind === "choice" ? groupsOf(tensors) : undefined,
    labels: tensors["labels"]?.data,
  });
}

/** Ragged instances that fit a tiny model's head, some of one token; choices have two to four rows. */
export function raggedInstances(kind: HeadKind, size = 6, vocabulary = 90): Instances {
  const row = (seed: number, length: number) =>
    Int32Array.from({ length }, (_, t) => 4 + ((seed * 31 + t * 17 + seed * t * 7) % (vocabulary - 4)));
  const lengths = [7, 1, 12, 3, 1, 9, 4];
  const groups = kind === "choice" ? Array.from({ length: size }, (_, i) => 2 + (i % 3)) : undefined;
  const rows = Array.from({ length: groups ? groups.reduce((a, b) => a + b, 0) : size }, (_, i) =>
    row(i + 1, lengths[i % lengths.length]),
  );
  const labels =
    kind === "causalLM"
      ? rows.map((_, i) => 5 + i)
      : Array.from({ length: size }, (_, i) => i % (kind === "choice" ? 2 : 3));
  return createInstances({ kind, rows, groups, labels });
}

/** The golden gradient's name of a weight of ours, e.g. "layers.0.mlp.up.weight". */
export function gradientName(model: Model, weight: string): string {
  return `gradient.${storedName(familyOf(model.config), weight, model.architecture.head.kind)}`;
}
