// Labels by name: which of a model's classes each of a data set's labels is. Refuses to guess: a label that the model has no
// class for is an error that lists both sides.
import type { Dataset, Row } from "../../types/data";
import type { Model } from "../../types/model";
import { AttributionError, expected } from "../errors";

type Mapping = Readonly<Record<string, string | number>>;

/** A function from row to the model's class (classification) or to the right choice (listwise); −1 where it is unknown. */
export function labelReader(
  model: Pick<Model, "architecture" | "labels">,
  dataset: Dataset,
  mapping: Mapping | undefined,
): (row: Row) => number {
  const { kind } = model.architecture.head;
  if (kind === "choice") {
    if (mapping !== undefined)
      throw new AttributionError(
        "invalid",
        '"labels" is for a classification head; a listwise label is the index of a choice',
      );
    return (row) => row.label;
  }
  const used = new Set(dataset.rows.map((row) => row.label).filter((label) => label >= 0));
  const classes = new Map([...used].map((label) => [label, classOf(model, dataset, mapping ?? {}, label)]));
  checkMapping(dataset, mapping ?? {});
  return (row) => classes.get(row.label) ?? -1;
}

function classOf(
  model: Pick<Model, "architecture" | "labels">,
  dataset: Dataset,
  mapping: Mapping,
  label: number,
): number {
  const name = dataset.labels[label];
  if (name === undefined) throw misfit(model, dataset, `the rows' label ${label} has no name`);
  const to = Object.hasOwn(mapping, name) ? mapping[name] : name;
  const count = model.architecture.head.labels;
  const index = typeof to === "number" ? to : indexByName(model.labels, to);
  if (Number.isInteger(index) && index >= (typeof to === "number" ? -1 : 0) && index < count) return index;
  throw misfit(model, dataset, `the model has no class ${typeof to === "number" ? to : `"${to}"`}`);
}

/** The same spelling, else the only one that differs in case. */
function indexByName(labels: readonly string[], name: string): number {
  const exact = labels.indexOf(name);
  if (exact >= 0) return exact;
  const similar = [...labels.keys()].filter((index) => labels[index].toLowerCase() === name.toLowerCase());
  return similar.length === 1 ? similar[0] : -1;
}

function checkMapping(dataset: Dataset, mapping: Mapping): void {
  if (typeof mapping !== "object" || mapping === null || Array.isArray(mapping))
    throw expected("labels", "an object from the data set's labels to the model's", mapping);
  const unknown = Object.keys(mapping).find((name) => !dataset.labels.includes(name));
  if (unknown !== undefined)
    throw new AttributionError(
      "unknown",
      `"labels" maps "${unknown}", which is none of the data set's labels: ${dataset.labels.join(", ")}`,
    );
}

function misfit(model: Pick<Model, "labels">, dataset: Dataset, why: string): AttributionError {
  const sides = `The data set's labels (${dataset.labels.join(", ") || "none"}) do not fit the model's (${model.labels.join(", ") || "none"})`;
  return new AttributionError(
    "mismatch",
    `${sides}: ${why}. Map them with "labels": {"data set's label": "model's label"}`,
  );
}
