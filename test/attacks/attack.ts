// What an attack is, and how a try of it is judged: it may succeed or be refused with an AttributionError within its time. Anything
// else (another error, a try that never ends, a process that dies) is a finding.
import { createRandom, type Random } from "../../lib/random";

export interface Attack {
  readonly name: string;
  /** Makes what the tries need in a folder of their own; answers one try. Its randomness decides everything. */
  readonly prepare: (folder: string) => Promise<(random: Random) => Promise<Try>>;
}

/** A call that is made under attack, described well enough to make it again. */
export interface Try {
  readonly what: string;
  readonly call: () => Promise<unknown>;
  /** Of a try that ends in something else than success or refusal: words on what is wrong, or undefined. */
  readonly check?: () => Promise<string | undefined>;
}

export const longestCall = 5_000; // ms of this process's own work
const longestWait = 120_000; // ms on the clock, on a machine with other work

/** What is wrong with a try, or undefined. */
export async function judge({ what, call, check }: Try): Promise<string | undefined> {
  const before = process.cpuUsage();
  const worked = (): number => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  let timer: NodeJS.Timeout | undefined;
  const stuck = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`did not end within ${longestWait / 1000} s`), longestWait);
  });
  const answer = await Promise.race([stuck, outcome(call)]).finally(() => clearTimeout(timer));
  if (answer !== undefined) return `${what}: ${answer}`;
  if (worked() > longestCall) return `${what}: worked for ${Math.round(worked() / 1000)} s`;
  const wrong = await check?.();
  return wrong === undefined ? undefined : `${what}: ${wrong}`;
}

async function outcome(call: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    const { name, code, message, stack } = error as { name?: string; code?: string; message?: string; stack?: string };
    if (name === "AttributionError" && code !== undefined && (message ?? "").length > 15) return undefined;
    return `a foreign error: ${stack ?? String(error)}`;
  }
}

/** The randomness of a try: that of its number, so that it can be made again alone. */
export const randomOf = (seed: number, attack: number, number: number): Random => createRandom(seed, attack, number);

export const pick = <T>(random: Random, values: readonly T[]): T => values[random.below(values.length)];
