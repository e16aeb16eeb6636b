// The demo's command line: what it takes, its help, and one clear message for what it does not take.
import { parseArgs } from "node:util";
import { AttributionError } from "../../errors";

export const help = `The main job, end to end: instance attribution, neuron attribution, both aligned, both tested, as a report.

  npm run demo                                   trains a small decoder on claims about countries
  npm run demo -- --model DIR --data FILE        the same with your own model and claims
  npm run demo -- facts                          another one: what a real language model knows (--help after it says more)

Options
  --out PATH            the report: a folder or an .html file (default: attribution-report/index.html)
  --seed N              of claims, weights, training and random controls (default: 42); the same seed gives the same numbers
  --queries N           held-out claims that are attributed (default: 40; own model: 30)
  --no-tuning-test      leave the fine-tuning test out, the longest step
  --help                this text

With your own model
  --model DIR           a directory (config.json with safetensors or pytorch_model.bin), a GGUF file or a cached hub id
  --data FILE           JSON lines: {"claim": "…", "label": "…"}; if wanted "evidence" (read by the model too), "fact" (claims with
                        the same one are about the same thing; with it recall of the true claims is reported) and "id"
  --test FILE           held-out claims in the same form (default: a fifth of --data, at most 200)
  --epochs N            of fine-tuning; 0 takes the model as it is (default: 3)
  --learning-rate X     (default: 2e-5)
  --batch-size N        (default: 8)

Time with your own model grows with training claims × tokens × parameters; begin with a few hundred claims.
`;

export interface DemoArguments {
  readonly out: string;
  readonly seed: number;
  readonly queries: number | undefined;
  readonly tuningTest: boolean;
  /** Undefined runs the countries demo. */
  readonly own:
    | {
        readonly model: string;
        readonly data: string;
        readonly test?: string;
        readonly epochs: number;
        readonly learningRate: number;
        readonly batchSize: number;
      }
    | undefined;
}

const ownOnly = ["test", "epochs", "learning-rate", "batch-size"] as const;

/** "help" where it is asked for. */
export function readArguments(given: readonly string[]): DemoArguments | "help" {
  const values = parsed(given);
  if (values.help === true) return "help";
  const { model, data, test } = values;
  if ((model === undefined) !== (data === undefined))
    throw new AttributionError(
      "invalid",
      "--model DIR and --data FILE go together: give both, or neither for the claims about countries",
    );
  const stray = model === undefined ? ownOnly.find((name) => values[name] !== undefined) : undefined;
  if (stray !== undefined)
    throw new AttributionError("invalid", `--${stray} is for your own model: give --model DIR and --data FILE with it`);
  return {
    out: values.out ?? "attribution-report",
    seed: wholeNumber("seed", values.seed, 0) ?? 42,
    queries: wholeNumber("queries", values.queries, 1),
    tuningTest: values["no-tuning-test"] !== true,
    own:
      model === undefined || data === undefined
        ? undefined
        : {
            model,
            data,
            ...(test === undefined ? {} : { test }),
            epochs: wholeNumber("epochs", values.epochs, 0) ?? 3,
            learningRate: positive("learning-rate", values["learning-rate"]) ?? 2e-5,
            batchSize: wholeNumber("batch-size", values["batch-size"], 1) ?? 8,
          },
  };
}

function parsed(given: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...given],
      strict: true,
      allowPositionals: false,
      options: {
        out: text,
        seed: text,
        queries: text,
        model: text,
        data: text,
        test: text,
        epochs: text,
        "learning-rate": text,
        "batch-size": text,
        "no-tuning-test": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (cause) {
    throw new AttributionError("invalid", `${(cause as Error).message.split(". ")[0]}. See npm run demo -- --help`, {
      cause,
    });
  }
}

function wholeNumber(name: string, value: string | undefined, least: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,15}$/.test(value) && Number(value) >= least) return Number(value);
  throw new AttributionError(
    "invalid",
    `Expected --${name} to be a whole number of at least ${least} but received "${value}"`,
  );
}

function positive(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (value.trim() !== "" && Number(value) > 0 && Number.isFinite(Number(value))) return Number(value);
  throw new AttributionError("invalid", `Expected --${name} to be a number above 0 but received "${value}"`);
}
