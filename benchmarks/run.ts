// npm run bench -- CASE [--json] [--quick] [--write]: measures one case and prints its table. Alone it lists the cases.
import { join } from "node:path";
import { AttributionError } from "../lib/errors";
import { parseArguments } from "./arguments";
import type { Benchmark, Context } from "./benchmark";
import { benchmarks } from "./catalogue";
import { benchmarkFolder } from "./folder";
import { hardware, load, ownVersions } from "./machine";
import { writeSection } from "./readme";
import { asMarkdown, asText, type Result } from "./result";

export async function measure(benchmark: Benchmark, context: Context): Promise<Result> {
  const before = load();
  const measured = await benchmark.run(context);
  return {
    case: benchmark.name,
    ...measured,
    quick: context.quick,
    hardware: hardware(before),
    versions: { ...ownVersions(), ...measured.versions },
  };
}

function listed(cases: readonly Benchmark[]): string {
  const lines = cases.map(({ name, title }) => `  ${name.padEnd(24)}${title}`);
  return ["npm run bench -- CASE [--json] [--quick] [--write]", "", ...lines].join("\n");
}

/** Prints what was asked for; gives the exit code. */
export async function run(
  given: readonly string[],
  cases: readonly Benchmark[] = benchmarks,
  print: (text: string) => void = console.log,
): Promise<number> {
  try {
    const { name, json, quick, write } = parseArguments(
      given,
      cases.map((known) => known.name),
    );
    const benchmark = cases.find((known) => known.name === name);
    if (benchmark === undefined) {
      print(listed(cases));
      return 0;
    }
    const result = await measure(benchmark, { quick, log: (text) => void process.stderr.write(`${text}\n`) });
    print(asText(result));
    if (write)
      await writeSection(
        join(benchmarkFolder(), "README.md"),
        result.case,
        asMarkdown(result, new Date().toISOString().slice(0, 10)),
      );
    if (json) print(JSON.stringify(result));
    return 0;
  } catch (error) {
    process.stderr.write(
      `${error instanceof AttributionError ? error.message : String((error as Error).stack ?? error)}\n`,
    );
    return 1;
  }
}

if (require.main === module)
  void run(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
