// `npm run demo`: the main job on real input. See demo/arguments.ts for what it takes.
import { AttributionError } from "../errors";
import { countrySize, countrySubject } from "./demo/country-subject";
import { help, readArguments } from "./demo/arguments";
import { ownSubject } from "./demo/own-subject";
import { runDemo } from "./demo/run";
import { startSession } from "./demo/session";
import { runFacts } from "./facts/facts";
import { progressSteps } from "./progress";

async function countriesOrOwn(given: readonly string[], signal: AbortSignal): Promise<void> {
  const chosen = readArguments(given);
  if (chosen === "help") return void process.stdout.write(help);
  const { seed, out, own, queries, tuningTest } = chosen;
  // So small a model runs fastest on one thread.
  if (own === undefined) process.env["ATTRIBUTION_THREADS"] ??= "1";
  const session = startSession({
    seed,
    signal,
    write: (text) => process.stdout.write(text),
    startStep: progressSteps(),
  });
  const recipe = tuningTest ? countrySize.recipe : { ...countrySize.recipe, tuningTest: undefined };
  const subject =
    own === undefined
      ? await countrySubject(session, { ...countrySize, queries: queries ?? countrySize.queries, recipe })
      : await ownSubject(session, { ...own, queries: queries ?? 30, tuningTest });
  await runDemo(session, subject, out);
}

/** Named demos; without a name it is the countries, or one's own model. */
const demos: Readonly<Record<string, (given: readonly string[], signal: AbortSignal) => Promise<void>>> = {
  facts: runFacts,
};

async function main(given: readonly string[]): Promise<void> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const [name, ...rest] = given;
  const isName = name !== undefined && !name.startsWith("-");
  if (isName && !Object.hasOwn(demos, name)) {
    throw new AttributionError(
      "unknown",
      `Unknown demo "${name}". Without a name it is the claims about countries; see npm run demo -- --help`,
    );
  }
  await (isName ? demos[name](rest, stop.signal) : countriesOrOwn(given, stop.signal));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  const words =
    error instanceof AttributionError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(
    `\ndemo: ${error instanceof AttributionError && error.code === "aborted" ? "stopped" : words}\n`,
  );
  process.exitCode = 1;
});
