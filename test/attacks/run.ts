// Runs the attacks: `npm run attack -- --minutes 30 [--seed 1] [--only "cut files"] [--tries N]`. Each attack has a process of its own, which
// this one watches; a death, a hang or a foreign error is printed with the seed and the number that make it again.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Attack, judge, randomOf } from "./attack";
import { cutFiles } from "./cut-files";
import { damagedFiles } from "./damaged-files";
import { failingDisk } from "./failing-disk";
import { killedWriters } from "./killed-writers";
import { misuse } from "./misuse";

const attacks: readonly Attack[] = [damagedFiles, misuse, cutFiles, killedWriters, failingDisk];
const longestSilence = 180_000; // ms without a finished try

export interface Plan {
  readonly seed: number;
  /** Tries of each attack; none: until its time is over. */
  readonly tries?: Readonly<Record<string, number>>;
  /** For all attacks together. */
  readonly minutes?: number;
  readonly only?: string;
}

export interface Report {
  readonly attack: string;
  readonly tries: number;
  readonly findings: readonly string[];
}

/** Runs the attacks one after the other, each in a process of its own. */
export async function runAttacks({ seed, tries, minutes = 1, only }: Plan): Promise<Report[]> {
  const chosen = attacks.filter(({ name }) => only === undefined || name === only);
  if (chosen.length === 0)
    throw new Error(`no attack "${only}"; there are ${attacks.map(({ name }) => name).join(", ")}`);
  const reports: Report[] = [];
  for (const { name } of chosen) {
    const most = tries?.[name] ?? (tries === undefined ? Number.MAX_SAFE_INTEGER : 0);
    if (most > 0) reports.push(await runWatched(name, seed, most, (minutes * 60) / chosen.length));
  }
  return reports;
}

/** A process that dies or falls silent is a finding; the attack goes on behind the try that did it. */
async function runWatched(name: string, seed: number, most: number, seconds: number): Promise<Report> {
  const findings: string[] = [];
  const until = Date.now() + seconds * 1000;
  let next = 0;
  while (next < most && (next === 0 || Date.now() < until)) {
    const child = spawn(
      process.execPath,
      [
        "--require",
        join(__dirname, "../engine/typescript.cjs"),
        __filename,
        ...["--child", name, String(seed), String(next), String(most), String(until)],
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: { ATTRIBUTION_THREADS: "1", HF_HUB_OFFLINE: "1", ...process.env } },
    );
    const { last, how, found } = await watch(child);
    findings.push(...found.map((words) => `${name}, seed ${seed}, ${words}`));
    next = last + 1;
    if (how === undefined) break;
    if (last < 0) throw new Error(`The attack "${name}" could not begin: ${how}`);
    findings.push(`${name}, seed ${seed}, try ${last}: ${how}`);
    next++;
  }
  return { attack: name, tries: next, findings };
}

interface Watched {
  /** The last try that began. */
  readonly last: number;
  /** How the process ended, where not by itself. */
  readonly how?: string;
  readonly found: readonly string[];
}

function watch(child: ChildProcess): Promise<Watched> {
  return new Promise((resolve, reject) => {
    const found: string[] = [];
    let [last, said, errors, isSilent] = [-1, "", "", false];
    const silence = (): NodeJS.Timeout =>
      setTimeout(() => {
        isSilent = true;
        child.kill("SIGKILL");
      }, longestSilence);
    let timer = silence();
    child.stderr!.on("data", (text: Buffer) => {
      errors = (errors + text.toString()).slice(-4000);
    });
    child.stdout!.on("data", (text: Buffer) => {
      clearTimeout(timer);
      timer = silence();
      const lines = (said + text.toString()).split("\n");
      said = lines.pop() ?? "";
      for (const line of lines) {
        const { begun, finding } = JSON.parse(line) as { begun?: number; finding?: string };
        if (begun !== undefined) last = begun;
        if (finding !== undefined) found.push(finding);
      }
    });
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      const how = isSilent
        ? "hung, and was killed"
        : code === 0
          ? undefined
          : `ended its process (${signal ?? `exit code ${code}`}): ${errors}`;
      resolve({ last, how, found });
    });
  });
}

/** The tries of one attack from number `first` on, as lines of JSON. */
async function runChild(name: string, seed: number, first: number, most: number, until: number): Promise<void> {
  const say = (line: object): unknown => process.stdout.write(`${JSON.stringify(line)}\n`);
  const at = attacks.findIndex((attack) => attack.name === name);
  const folder = mkdtempSync(join(tmpdir(), "attribution-attack-"));
  try {
    const make = await attacks[at].prepare(folder);
    for (let number = first; number < most && (number === first || Date.now() < until); number++) {
      say({ begun: number });
      const finding = await judge(await make(randomOf(seed, at, number)));
      if (finding !== undefined) say({ finding: `try ${number}: ${finding}` });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function optionOf(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

async function main(): Promise<void> {
  if (process.argv[2] === "--child") {
    const [name, ...numbers] = process.argv.slice(3);
    const [seed, first, most, until] = numbers.map(Number);
    await runChild(name, seed, first, most, until);
    return;
  }
  const tries = optionOf("tries");
  const only = optionOf("only");
  const reports = await runAttacks({
    seed: Number(optionOf("seed") ?? 1),
    minutes: Number(optionOf("minutes") ?? 1),
    ...(tries !== undefined && { tries: Object.fromEntries(attacks.map(({ name }) => [name, Number(tries)])) }),
    ...(only !== undefined && { only }),
  });
  for (const { attack, tries: count, findings } of reports) {
    process.stdout.write(`${attack}: ${count} tries, ${findings.length} findings\n`);
    for (const finding of findings) process.stdout.write(`  ${finding}\n`);
  }
  if (reports.some(({ findings }) => findings.length > 0)) process.exitCode = 1;
}

if (require.main === module) void main();
