// A subject from a model and labelled rows of one's own: JSON lines with a label and whatever fields.
import { loadDataset } from "../../data/load-dataset";
import { AttributionError } from "../../errors";
import { loadModel } from "../../model/load-model";
import { createRandom, shuffle } from "../../random";
import type { Dataset, Row } from "../../../types/data";
import type { Claim, ClaimData } from "./claims";
import type { Session } from "./session";
import type { Recipe, Subject } from "./subject";
import { tunedSubject } from "./tuned-subject";

export interface OwnOptions {
  readonly model: string;
  readonly data: string;
  /** Held-out claims. @default a fifth of `data`, at most 200 */
  readonly test?: string;
  /** 0 takes the model as it is. */
  readonly epochs: number;
  readonly learningRate: number;
  readonly batchSize: number;
  readonly queries: number;
  readonly tuningTest: boolean;
}

export async function ownSubject(session: Session, options: OwnOptions): Promise<Subject> {
  const data = await ownClaims(options, session.seed);
  const base = await session.step(
    "Loading the model",
    (call) =>
      loadModel(options.model, { head: { kind: "classification", labels: data.labels }, seed: session.seed, ...call }),
    ({ architecture, parameters }) => `${architecture.family}, ${parameters} parameters`,
  );
  const { epochs, batchSize, learningRate } = options;
  return tunedSubject(session, {
    name: `the model ${options.model}${epochs === 0 ? "" : `, tuned for ${epochs} epochs`}`,
    data,
    base,
    ...templateFor(data.train[0].fields ?? {}),
    queries: options.queries,
    recipe: ownRecipe(options),
    tuning: { epochs, batchSize, learningRate, keep: "last" },
  });
}

/** Large models are asked less: the head's parameters but for the store, fewer nodes, fewer shares. */
function ownRecipe({ tuningTest }: OwnOptions): Recipe {
  return {
    gradients: { parameters: "head", words: "head" },
    store: { parameters: "linear", rank: 16, words: "all blocks, rank 16" },
    influences: [{ inverse: "ekfac", parameters: "head", words: "EK-FAC, head" }],
    trainNodes: 10,
    neuronSizes: [1, 2, 5, 10, 20, 50, 100],
    headSizes: [1, 2, 5, 10, 20, 50],
    controls: 5,
    tuningTest: tuningTest ? { fractions: [0.3], seeds: [42] } : undefined,
    cards: 6,
    conflicts: 5,
  };
}

/** The paper's template where one fits the fields; else each field after its name. */
function templateFor(fields: Row["fields"]): { readonly template?: string } {
  const names = Object.keys(fields);
  const isKnown =
    ["claim", "question", "prompt", "text"].some((name) => names.includes(name)) ||
    ["premise", "hypothesis"].every((name) => names.includes(name));
  return isKnown ? {} : { template: names.map((name) => `${name} : {${name}}`).join(" / ") };
}

const heldOutShows =
  "Held-out claims took no part in training: only where the model beats the baseline on them has it learned something to attribute.";

/** Rows without a label are left out; those of `data` that are not held out are the training claims. */
export async function ownClaims({ data, test }: Pick<OwnOptions, "data" | "test">, seed: number): Promise<ClaimData> {
  const rows = await loadDataset("jsonl", { path: data, onlyLabelled: true });
  if (rows.labels.length < 2)
    throw new AttributionError(
      "invalid",
      `${data}: expected at least two different labels but found ${rows.labels.join(", ") || "none"}`,
    );
  const claims = claimsOf(rows);
  if (test !== undefined) {
    const other = await loadDataset("jsonl", { path: test, onlyLabelled: true, labels: rows.labels });
    return {
      name: data,
      origin: `${data}, tested on ${test}`,
      heldOutShows,
      labels: rows.labels,
      train: claims,
      heldOut: claimsOf(other),
    };
  }
  if (claims.length < 10)
    throw new AttributionError(
      "invalid",
      `${data} has ${claims.length} labelled claims; at least 10 are needed to hold some out (or give --test FILE)`,
    );
  const mixed = shuffle(claims, createRandom(seed, 4));
  const held = Math.min(200, Math.round(mixed.length / 5));
  return {
    name: data,
    origin: `${data}, ${held} of its claims held out`,
    heldOutShows,
    labels: rows.labels,
    train: mixed.slice(held),
    heldOut: mixed.slice(0, held),
  };
}

/** Rows with whatever fields they have; "evidence" and "fact" keep their meaning where they are there. */
function claimsOf({ rows }: Dataset): Claim[] {
  return rows.map(({ id, fields, label }: Row) => {
    const { fact, ...shown } = fields;
    return {
      id,
      text: Object.values(shown).flat().join(" / "),
      fields: shown,
      label,
      ...(typeof fact === "string" && fact !== "" ? { fact } : {}),
    };
  });
}
