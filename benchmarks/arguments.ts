// The command line: CASE [--json] [--quick] [--write].
import { AttributionError } from "../lib/errors";

export interface Arguments {
  /** None: list the cases. */
  readonly name: string | undefined;
  /** The last line is the result as one JSON object. */
  readonly json: boolean;
  readonly quick: boolean;
  /** Put the table into benchmarks/README.md. */
  readonly write: boolean;
}

const flags = ["--json", "--quick", "--write"];

export function parseArguments(given: readonly string[], names: readonly string[]): Arguments {
  const unknown = given.find((word) => word.startsWith("-") && !flags.includes(word));
  if (unknown !== undefined)
    throw new AttributionError("unknown", `Unknown option "${unknown}". Known options: ${flags.join(", ")}`);
  const [name, second] = given.filter((word) => !word.startsWith("-"));
  if (second !== undefined)
    throw new AttributionError(
      "invalid",
      `Expected one case at a time but received "${name}" and "${second}": cases timed together disturb each other`,
    );
  if (name !== undefined && !names.includes(name))
    throw new AttributionError("unknown", `Unknown case "${name}". Known cases: ${names.join(", ")}`);
  const [json, quick, write] = flags.map((flag) => given.includes(flag));
  if (quick && write)
    throw new AttributionError("invalid", "--write keeps the numbers of a full run; leave --quick out");
  if (write && name === undefined)
    throw new AttributionError("missing", "--write needs the case whose table it writes");
  return { name, json, quick, write };
}
