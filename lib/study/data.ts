// The data of a study: training rows, held-out rows, queries among these, and rows of another distribution; with the fact and the
// group of each row where they are known.
import { isAbsolute, join } from "node:path";
import type { CallOptions } from "../../types/common";
import type { Row } from "../../types/data";
import { loadDataset } from "../data/load-dataset";
import { AttributionError } from "../errors";
import { createRandom, shuffle } from "../random";
import { countryClaims } from "./claims/countries";
import type { DataDefinition } from "./definition";
import { chooseQueries, type StudyData, type StudyRow } from "./rows";

export interface DataRequest {
  readonly seed: number;
  /** Where relative paths start. */
  readonly root: string;
}

export async function studyData(
  definition: DataDefinition,
  request: DataRequest,
  call: CallOptions = {},
): Promise<StudyData> {
  return definition.format === "countries" ? countryData(definition, request) : ownData(definition, request, call);
}

type Countries = Extract<DataDefinition, { format: "countries" }>;
type Own = Exclude<DataDefinition, { format: "countries" }>;

async function countryData(
  { name, countries, wordings, queries }: Countries,
  { seed }: DataRequest,
): Promise<StudyData> {
  const claims = await countryClaims({ seed, countries, wordings });
  return {
    ...claims,
    name,
    queries: chooseQueries(claims.heldOut, queries, seed),
    outOfDistributionRight: claims.outOfDistribution.map(({ label }) => [label]),
    template: "{claim}",
    maxLength: undefined,
    warnings: [],
  };
}

async function ownData(definition: Own, { seed, root }: DataRequest, call: CallOptions): Promise<StudyData> {
  const { name, format, test, queries, template, maxLength } = definition;
  const at = (path: string): string => (isAbsolute(path) ? path : join(root, path));
  const options = (source: { path: string; limit?: number | undefined }) => ({
    ...withoutUndefined({
      labels: definition.labels,
      fields: definition.fields,
      label: definition.label,
      id: definition.id,
      limit: source.limit,
    }),
    path: at(source.path),
    onlyLabelled: true,
    ...call,
  });
  const all = await loadDataset(format, options(definition));
  const rows = described(all.rows, definition);
  const isListwise = all.labels.length === 0;
  if (isListwise && rows[0].fields["choices"] === undefined)
    throw new AttributionError(
      "invalid",
      `${definition.path} has neither labels nor choices: a study needs rows with an answer`,
    );
  if (!isListwise && all.labels.length < 2)
    throw new AttributionError(
      "invalid",
      `${definition.path}: expected at least two different labels but found ${all.labels.join(", ")}`,
    );
  const split = test === undefined ? heldOutOf(rows, definition.path, seed) : undefined;
  const heldOut =
    split?.heldOut ??
    described(
      (
        await loadDataset(format, {
          ...options(test!),
          ...(isListwise ? {} : { labels: all.labels }),
        })
      ).rows,
      definition,
    );
  const train = split?.train ?? rows;
  const chosen = chooseQueries(heldOut, queries, seed);
  return {
    name,
    origin:
      test === undefined
        ? `${definition.path}, ${heldOut.length} of its rows held out`
        : `${definition.path}, tested on ${test.path}`,
    heldOutShows:
      "Held-out rows took no part in training: only where the model beats the baseline on them has it learned something to attribute.",
    labels: all.labels,
    train,
    heldOut,
    queries: chosen,
    ...(await outOfDistribution(definition, all.labels, at, call)),
    template: template ?? templateFor(rows[0].fields),
    maxLength,
    warnings: insideTraining(train, chosen),
  };
}

function described(rows: readonly Row[], { fact, group }: Own): StudyRow[] {
  const text = (row: Row, field: string | undefined): string | undefined => {
    const value = field === undefined ? undefined : row.fields[field];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  return rows.map((row) => ({ ...row, ...withoutUndefined({ fact: text(row, fact), group: text(row, group) }) }));
}

function heldOutOf(rows: readonly StudyRow[], path: string, seed: number): { train: StudyRow[]; heldOut: StudyRow[] } {
  if (rows.length < 10)
    throw new AttributionError(
      "invalid",
      `${path} has ${rows.length} labelled rows; at least 10 are needed to hold some out (or name a "test" file)`,
    );
  const mixed = shuffle(rows, createRandom(seed, 4));
  const held = Math.min(200, Math.round(mixed.length / 5));
  return { train: mixed.slice(held), heldOut: mixed.slice(0, held) };
}

/** The paper's template where one fits the fields (undefined: `encode` finds it); else each field after its name. */
function templateFor(fields: Row["fields"]): string | undefined {
  const names = Object.keys(fields);
  const isKnown =
    ["claim", "question", "prompt", "text"].some((name) => names.includes(name)) ||
    ["premise", "hypothesis"].every((name) => names.includes(name));
  return isKnown ? undefined : names.map((name) => `${name} : {${name}}`).join(" / ");
}

type OutOfDistribution = Pick<StudyData, "outOfDistribution" | "outOfDistributionRight" | "outOfDistributionIs">;

/** A label that the model has no class for, such as HANS's "non-entailment", stands for all classes of no name there. */
async function outOfDistribution(
  definition: Own,
  labels: readonly string[],
  at: (path: string) => string,
  call: CallOptions,
): Promise<OutOfDistribution> {
  const source = definition.outOfDistribution;
  if (source === undefined) return { outOfDistribution: [], outOfDistributionRight: [], outOfDistributionIs: "" };
  const { format, path, ...options } = source;
  const found = await loadDataset(format, {
    ...withoutUndefined(options),
    path: at(path),
    onlyLabelled: true,
    ...call,
  });
  const rest = labels.flatMap((label, index) => (found.labels.includes(label) ? [] : [index]));
  const classes = found.labels.map((label) => (labels.includes(label) ? [labels.indexOf(label)] : rest));
  if (classes.some((list) => list.length === 0))
    throw new AttributionError(
      "mismatch",
      `${path} has the labels ${found.labels.join(", ")}, the training rows ${labels.join(", ")}: map them by "labels"`,
    );
  return {
    outOfDistribution: found.rows.map((row) => ({ ...row, label: classes[row.label][0] })),
    outOfDistributionRight: found.rows.map((row) => classes[row.label]),
    outOfDistributionIs: `${found.rows.length} rows of ${path}`,
  };
}

function insideTraining(train: readonly StudyRow[], queries: readonly StudyRow[]): string[] {
  const known = new Set(train.map(({ fields }) => JSON.stringify(fields)));
  const inside = queries.filter(({ fields }) => known.has(JSON.stringify(fields))).length;
  return inside === 0
    ? []
    : [`${inside} of ${queries.length} queries stand in the training rows: their results say what was memorised.`];
}

function withoutUndefined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
