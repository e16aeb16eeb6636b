// Writers that are killed at any moment: the same call made again ends with the bytes of one that was never killed, and leaves nothing
// beside them.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Attack, pick, type Try } from "./attack";
import { type Kind, write } from "./killed-writer";

const kinds: readonly Kind[] = ["store", "append", "checkpoints", "model", "result", "neurons", "ekfac"];

/** The hash of every file in a folder, by its path. */
function bytesOf(folder: string): Readonly<Record<string, string>> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    names
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path.slice(folder.length), createHash("sha256").update(readFileSync(path)).digest("hex")]),
  );
}

/** Starts the writer and kills it so many milliseconds after it began its work. */
function startAndKill(kind: Kind, folder: string, after: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ["--require", join(__dirname, "../engine/typescript.cjs"), join(__dirname, "killed-writer.ts"), kind, folder],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    child.stdout.on("data", (said: Buffer) => {
      if (said.includes("began")) setTimeout(() => child.kill("SIGKILL"), after);
    });
    child.once("error", reject);
    child.once("exit", () => resolve());
  });
}

let made = 0;

export const killedWriters: Attack = {
  name: "killed writers",
  prepare: async (folder) => {
    const whole = new Map<Kind, Readonly<Record<string, string>>>();
    for (const kind of kinds) {
      await write(kind, join(folder, kind));
      whole.set(kind, bytesOf(join(folder, kind)));
    }
    return async (random): Promise<Try> => {
      await Promise.resolve();
      const kind = pick(random, kinds);
      const target = join(folder, `killed-${made++}`);
      const kills = 1 + random.below(2);
      const call = async (): Promise<void> => {
        for (let i = 0; i < kills; i++) await startAndKill(kind, target, random.below(2500));
        await write(kind, target);
      };
      const check = async (): Promise<string | undefined> => {
        await Promise.resolve();
        const [found, expected] = [bytesOf(target), whole.get(kind)!];
        const beside = readdirSync(dirname(target)).filter((name) => name.startsWith(`${basename(target)}.`));
        rmSync(target, { recursive: true, force: true });
        if (beside.length > 0) return `left ${beside.join(", ")}`;
        const different = [...new Set([...Object.keys(found), ...Object.keys(expected)])].filter(
          (path) => found[path] !== expected[path],
        );
        return different.length === 0 ? undefined : `other bytes than without a kill in ${different.join(", ")}`;
      };
      return { what: `${kind}, killed ${kills} times`, call, check };
    };
  },
};
