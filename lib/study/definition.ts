// What a study.json may say. One definition checks a file, types it, and makes the published JSON schema.
import { z } from "zod";
import { AttributionError } from "../errors";
import { instanceMethodNames, neuronMethodNames } from "./methods";

const whole = z.int().nonnegative();
const positive = z.int().positive();
const share = z.number().gt(0).lt(1);
const name = z.string().regex(/^[^\p{Cc}/]{1,60}$/u, "a name of 1 to 60 characters, on one line and without a slash");
const options = z
  .record(z.string(), z.unknown())
  .default({})
  .describe("Options of the method, by the names that the API gives them.");

const tuning = z
  .strictObject({
    epochs: whole.optional().describe("0 takes the model as it is."),
    batchSize: positive.optional(),
    accumulation: positive.optional(),
    learningRate: z.number().positive().optional(),
    weightDecay: z.number().nonnegative().optional(),
    schedule: z.enum(["linear", "constant"]).optional(),
    warmupSteps: whole.optional(),
    clip: z.number().nonnegative().optional(),
    dropout: z.boolean().optional(),
    order: z.enum(["lengthSorted", "shuffled", "given"]).optional(),
    trainable: z.enum(["all", "head"]).optional(),
    keep: z.enum(["best", "last"]).optional().describe("The epoch with the best held-out accuracy, or the last one."),
  })
  .describe("How a model is tuned on the training rows; see fineTune.");

const model = z
  .strictObject({
    name: name.describe("What tables call the model."),
    path: z.string().min(1).optional().describe("A folder, a GGUF file or a hub id."),
    revision: z.string().min(1).optional().describe("Of a hub id: the branch, tag or commit."),
    create: z
      .record(z.string(), z.unknown())
      .optional()
      .describe("A config.json without vocabulary: the model is trained from scratch."),
    padToken: z.enum(["keep", "add"]).optional(),
    tune: tuning.optional().describe("Where this model is tuned otherwise than the study says."),
    instanceOptions: z
      .record(z.string(), options)
      .optional()
      .describe("Options of this model alone, by the instance method's name in this study."),
  })
  .refine(({ path, create }) => (path === undefined) !== (create === undefined), 'needs either "path" or "create"');

const files = ["mnli", "snli", "averitec", "csqa", "hans", "jsonl", "csv", "parquet"] as const;
const source = {
  format: z.enum(files),
  path: z.string().min(1),
  limit: positive.optional().describe("The first rows only."),
  labels: z.union([z.array(z.string()), z.record(z.string(), z.string())]).optional(),
  fields: z.record(z.string(), z.string()).optional(),
  label: z.string().optional(),
  id: z.string().optional(),
};

const countries = z
  .strictObject({
    name,
    format: z.literal("countries").describe("Claims about countries, from the package world-countries."),
    countries: positive.default(45),
    wordings: z.int().min(1).max(5).default(3).describe("Training claims of each value."),
    queries: positive.default(40).describe("Held-out rows that are attributed."),
  })
  .describe("Facts that are known, so that the true training claims of each query are known, too.");

const rows = z.strictObject({
  name,
  ...source,
  test: z
    .strictObject({ path: z.string().min(1), limit: positive.optional() })
    .optional()
    .describe("Held-out rows; without them a fifth of the rows, at most 200."),
  template: z.string().optional().describe("See encode; the default is the paper's template for the rows' fields."),
  maxLength: positive.optional(),
  queries: positive.default(40),
  fact: z
    .string()
    .optional()
    .describe("The field that names the fact a row speaks of: rows with the same one are the truth of fact tracing."),
  group: z.string().optional().describe("The field that names a row's relation or kind, for coverage."),
  outOfDistribution: z
    .strictObject(source)
    .optional()
    .describe("Rows of another distribution, whose labels are named as the training rows' are."),
});

const test = z.strictObject({
  sizes: z
    .array(positive)
    .min(1)
    .default([1, 2, 5, 10, 20, 50, 100])
    .describe("r of sufficiency and comprehensiveness."),
  fractions: z
    .array(z.number().min(0).max(1))
    .min(2)
    .default([0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    .describe("Shares of the units in deletion and insertion; neurons and heads get the same."),
  controls: positive.default(10).describe("Random draws beside each set of units."),
  fineTuning: z
    .strictObject({
      fractions: z.array(share).min(1).default([0.1, 0.3, 0.5, 0.7, 0.9]),
      methods: z.array(name).optional(),
    })
    .optional()
    .describe("Tunes the base model on the most, least and random shares; left out: not run."),
  linearDatamodeling: z.strictObject({ subsets: z.int().min(3).default(40), fraction: share.default(0.5) }).optional(),
  errorFinding: z
    .strictObject({ share: share.default(0.1) })
    .optional()
    .describe("Flips this share of the training labels and looks for them by self-influence."),
  sanity: z.boolean().default(true).describe("The same scores under a model with re-drawn weights."),
  conflicts: positive.default(20).describe("Queries on which an ablation decides between the two views."),
});

const method = <T extends readonly [string, ...string[]]>(names: T) =>
  z.strictObject({ name: name.describe("What tables call it."), method: z.enum(names), options });

export const definitionSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z.string().min(1),
    description: z.string().optional(),
    models: z.array(model).min(1),
    data: z.array(z.discriminatedUnion("format", [countries, rows])).min(1),
    tune: tuning.default({}),
    instanceMethods: z
      .array(method(instanceMethodNames))
      .min(1)
      .describe("The first one is compared with neurons and tested in full."),
    neuronMethods: z.array(method(neuronMethodNames)).min(1).describe("The first one is aligned with instances."),
    trainNeurons: options.describe("Options of the first neuron method over the training rows, e.g. fewer nodes."),
    tests: test.prefault({}),
    seed: whole.default(42).describe("Of data, weights, tuning and random controls."),
    seeds: z.array(whole).min(1).default([42, 60, 73]).describe("Of the fine-tuning test."),
  })
  .describe("A study: models × data sets × methods × tests.");

export type Definition = z.infer<typeof definitionSchema>;
export type ModelDefinition = Definition["models"][number];
export type DataDefinition = Definition["data"][number];

/** The published JSON schema of study.json. */
export function definitionJsonSchema(): object {
  return z.toJSONSchema(definitionSchema, { io: "input" });
}

/** A checked study; "invalid" in one sentence that names the place. */
export function parseDefinition(value: unknown, from: string): Definition {
  const parsed = definitionSchema.safeParse(value);
  if (!parsed.success) throw new AttributionError("invalid", `${from}: ${sentence(parsed.error.issues[0])}`);
  const { models, data, instanceMethods, neuronMethods, tests } = parsed.data;
  const lists = { models, data, instanceMethods, neuronMethods };
  for (const [list, entries] of Object.entries(lists)) {
    const twice = entries.find((entry, at) => entries.findIndex((other) => other.name === entry.name) < at);
    if (twice !== undefined)
      throw new AttributionError("invalid", `${from}: two of "${list}" are called "${twice.name}"; names must differ`);
  }
  const names = [...instanceMethods.map((each) => each.name), "NA-Instances"];
  const unknown = tests.fineTuning?.methods?.find((each) => !names.includes(each));
  if (unknown !== undefined)
    throw new AttributionError(
      "unknown",
      `${from}: "tests.fineTuning.methods" names "${unknown}"; there are ${names.join(", ")}`,
    );
  return parsed.data;
}

function sentence(issue: z.core.$ZodIssue): string {
  const place = issue.path
    .map((step, at) => (typeof step === "number" ? `[${step}]` : at === 0 ? String(step) : `.${String(step)}`))
    .join("");
  return place === "" ? issue.message : `"${place}": ${issue.message}`;
}
