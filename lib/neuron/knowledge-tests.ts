// Tests of knowledge neurons: do units hold a fact, or only a pair of words? What holds the fact serves it in other words and in its
// other direction too, and without it the answer is another one, not just a less probable one.
import type { Instances } from "../../types/data";
import type { KnowledgeSymmetry, CategoricalChange } from "../../types/knowledge";
import type { Model } from "../../types/model";
import type { NativeUnitSetResult } from "../../types/native";
import type { Estimate, Site } from "../../types/results";
import { requireLabels } from "../data/require-instances";
import { AttributionError } from "../errors";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { libtorchVersion } from "../native";
import { integer, oneOf, onlyKnown, seedOf } from "../options";
import { pacedBy } from "../pacing";
import { provenance } from "../provenance";
import { createRandom } from "../random";
import { mean, pacedBootstrapOf } from "../statistics";
import { type Baseline, shownBaseline } from "./baseline";
import { changeOf, changeOptionNames, changeUnits, kindOf, type UnitList, unitLists } from "./changed-units";
import { randomLike } from "./random-units";

export interface KnowledgeTestOptions extends BatchOptions {
  /** What becomes of the units: 0; their value times `factor`; the `baseline`'s value. @default "suppress" */
  readonly kind?: "suppress" | "scale" | "replace";
  /** With "scale": 2 doubles. */
  readonly factor?: number;
  /** With "replace": values of both sites, as `meanActivations` gives them. */
  readonly baseline?: Baseline;
  /** What a unit without `site` is. @default "neurons" */
  readonly site?: Site;
  /** Random sets of as many other units of the same layers and sites. @default 10 */
  readonly controls?: number;
  /** Of the random sets and the intervals. @default 42 */
  readonly seed?: number;
  /** What a batch's prefix cache and changed rows may take together. @default "1 GB" */
  readonly memory?: number | string;
  /** "cache": one-token rows over the prefix; "full": full forwards, the slow reference. @default "cache" */
  readonly engine?: "cache" | "full";
}

const names = [...batchOptionNames, ...changeOptionNames, "controls", "seed", "memory", "engine"] as const;

/**
 * Change of log p(gold answer) when the units change, on prompts that the units were chosen for and on their counterparts: the same
 * facts in synonyms (of the subject or, by its label, of the answer), or in the other direction ("Paris is the capital of", France).
 * `symmetry` is the counterparts' mean change over the prompts': near 1 where the units hold the fact, near 0 where they hold the pair
 * of words. Counterpart i belongs to prompt i. Unit: nats; below 0 on suppression: the units raise the answer.
 * Beside it random units of the same layers; 95 % bootstrap intervals over prompts.
 * Source: Niu et al. 2024 (arXiv 2405.02421: synonymous invariance, bijective symmetry). Cost: a forward and 1 + controls one-token rows
 * for each prompt and counterpart.
 * @example const { symmetry } = await knowledgeSymmetry(model, prompts, others, await refineNeurons(na));
 */
export async function knowledgeSymmetry(
  model: Model,
  prompts: Instances,
  counterparts: Instances,
  units: UnitList,
  options?: KnowledgeTestOptions,
): Promise<KnowledgeSymmetry> {
  const given = onlyKnown(options, names);
  checkFit(model, prompts, "prompts");
  checkFit(model, counterparts, "counterparts");
  if (prompts.size !== counterparts.size)
    throw new AttributionError(
      "mismatch",
      `Expected a counterpart for each of the ${prompts.size} prompts but received ${counterparts.size}`,
    );
  const own = await changed(model, prompts, "prompts", units, given, options);
  const other = await changed(model, counterparts, "counterparts", units, given, options);
  const columns = [own, other].flatMap(({ result, controls }) => [
    changesOf(result, controls, "chosen"),
    changesOf(result, controls, "random"),
  ]);
  const [chosen, random, counterpart, randomCounterpart, symmetry] = await pacedBootstrapOf(
    prompts.size,
    (picks) => {
      const means = columns.map((column) => mean(Float64Array.from(picks, (at) => column[at])));
      return [...means, means[2] / means[0]];
    },
    pacedBy(options?.signal),
    { seed: own.seed },
  );
  return Object.freeze({
    test: "knowledgeSymmetry",
    change: chosen,
    randomChange: random,
    counterpartChange: counterpart,
    randomCounterpartChange: randomCounterpart,
    symmetry,
    perPrompt: columns[0],
    perCounterpart: columns[2],
    provenance: provenance({
      method: "knowledgeSymmetry",
      options: own.shown,
      model,
      data: { instances: prompts, counterparts },
      libtorch: libtorchVersion(),
    }),
  });
}

/**
 * What becomes of the model's answer when the units change: the share of prompts whose most probable class (next token) is another, and
 * the share whose gold answer loses probability while the answer stays: a change of probability only. Of the prompts that were answered
 * right, the share that still are. Beside them as many random units of the same layers; 95 % bootstrap intervals over prompts.
 * Source: Niu et al. 2024 (arXiv 2405.02421). Cost: a forward and 1 + controls one-token rows for each prompt.
 * @example const { changed, onlyProbability } = await categoricalChange(model, prompts, await refineNeurons(na));
 */
export async function categoricalChange(
  model: Model,
  prompts: Instances,
  units: UnitList,
  options?: KnowledgeTestOptions,
): Promise<CategoricalChange> {
  const given = onlyKnown(options, names);
  checkFit(model, prompts, "prompts");
  const { result, controls, seed, shown } = await changed(model, prompts, "prompts", units, given, options);
  const { predictions, changedPredictions, values, changedValues } = result;
  const sets = 1 + controls;
  const flips = (i: number, set: number): boolean => changedPredictions[i * sets + set] !== predictions[i];
  const column = (of: (i: number, set: number) => boolean, which: "chosen" | "random"): Float64Array =>
    Float64Array.from(predictions, (_, i) =>
      which === "chosen" ? Number(of(i, 0)) : share(controls, (draw) => of(i, 1 + draw)),
    );
  const onlyProbability = (i: number, set: number): boolean =>
    !flips(i, set) && changedValues[i * sets + set] < values[i];
  const columns = [
    column(flips, "chosen"),
    column(flips, "random"),
    column(onlyProbability, "chosen"),
    column(onlyProbability, "random"),
  ];
  const right = Array.from(prompts.labels.keys()).filter((i) => predictions[i] === prompts.labels[i]);
  const keeps = (which: "chosen" | "random") => column((i, set) => !flips(i, set), which);
  const [kept, randomKept] = [keeps("chosen"), keeps("random")];
  const pace = pacedBy(options?.signal);
  const over = (picked: readonly Float64Array[], rows: readonly number[]): Promise<Estimate[]> =>
    pacedBootstrapOf(
      rows.length,
      (picks) => picked.map((list) => mean(Float64Array.from(picks, (at) => list[rows[at]]))),
      pace,
      { seed },
    );
  const [all, ofRight] = [
    await over(columns, Array.from(prompts.labels.keys())),
    right.length === 0 ? [] : await over([kept, randomKept], right),
  ];
  return Object.freeze({
    test: "categoricalChange",
    changed: all[0],
    randomChanged: all[1],
    onlyProbability: all[2],
    randomOnlyProbability: all[3],
    answered: right.length,
    ...(ofRight.length > 0 && { stillAnswered: ofRight[0], randomStillAnswered: ofRight[1] }),
    predictions,
    changedPredictions: Int32Array.from(predictions, (_, i) => changedPredictions[i * sets]),
    provenance: provenance({
      method: "categoricalChange",
      options: shown,
      model,
      data: { instances: prompts },
      libtorch: libtorchVersion(),
    }),
  });
}

function share(count: number, of: (at: number) => boolean): number {
  return Array.from({ length: count }, (_, at) => Number(of(at))).reduce((sum, one) => sum + one, 0) / count;
}

/** Change of F on each prompt by the chosen units, or its mean over the random ones. */
function changesOf(
  { values, changedValues }: NativeUnitSetResult,
  controls: number,
  which: "chosen" | "random",
): Float64Array {
  const sets = 1 + controls;
  return values.map((value, i) => {
    const changed = changedValues.subarray(i * sets, (i + 1) * sets);
    return (which === "chosen" ? changed[0] : mean(changed.subarray(1))) - value;
  });
}

/** The prompts with the units changed, then each random set; F is the log-probability of the gold answer. */
async function changed(
  model: Model,
  prompts: Instances,
  name: string,
  units: UnitList,
  given: Readonly<Record<string, unknown>>,
  options: KnowledgeTestOptions | undefined,
): Promise<{
  readonly result: NativeUnitSetResult;
  readonly controls: number;
  readonly seed: number;
  readonly shown: Readonly<Record<string, unknown>>;
}> {
  requireLabels(prompts, name);
  oneOf(given, "kind", "suppress", ["suppress", "scale", "replace"]);
  const site = oneOf<Site>(given, "site", "neurons", ["neurons", "heads", "both"]);
  const [controls, seed] = [integer(given, "controls", 10, 1, 1000), seedOf(given)];
  const own = changeOf(given, options);
  const lists = unitLists(withSites(units, site), prompts.size, model.architecture, "both");
  const all = lists.flatMap((list) => [
    list,
    ...Array.from({ length: controls }, (_, draw) => randomLike(model.architecture, list, createRandom(seed, draw))),
  ]);
  const offsets = new Int32Array(all.length + 1);
  all.forEach((list, at) => (offsets[at + 1] = offsets[at] + list.length));
  const sets = { sets: 1 + controls, offsets, units: Int32Array.from(all.flatMap((list) => Array.from(list))) };
  const target = { of: "logProbability", labels: "gold" } as const;
  const result = await changeUnits(model, prompts, sets, { site: "both", ...own, target }, given, options);
  const shown = {
    kind: kindOf(given),
    factor: own.factor ?? null,
    baseline: shownBaseline(options?.baseline),
    controls,
    seed,
    units: lists.map((list) => [...list]),
  };
  return { result, controls, seed, shown };
}

/** The same units, each with its site. */
function withSites(units: UnitList, site: Site): UnitList {
  if (!Array.isArray(units)) return units;
  const placed = (place: unknown): unknown => {
    if (Array.isArray(place)) return place.map(placed);
    return typeof place === "object" && place !== null ? { site, ...place } : place;
  };
  return (units as readonly unknown[]).map(placed) as unknown as UnitList;
}
