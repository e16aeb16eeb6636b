// A disk that fails at any moment: each try runs in a process whose reads, writes and openings under a folder fail now and then. A call
// ends with success or an AttributionError; after it, on a whole disk, the same call succeeds.
import { spawn, spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Attack, pick, type Try } from "./attack";
import { type Kind, write } from "./killed-writer";

const kinds: readonly Kind[] = ["store", "append", "checkpoints", "model", "result", "neurons", "ekfac"];
let made = 0;

export const failingDisk: Attack = {
  name: "failing disk",
  prepare: async (folder) => {
    await Promise.resolve();
    const library = join(folder, "faults.so");
    const compiled = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(__dirname, "faults.c"), "-ldl"], {
      encoding: "utf8",
    });
    if (compiled.status !== 0) throw new Error(`cc could not compile faults.c: ${compiled.stderr}`);
    return async (random): Promise<Try> => {
      await Promise.resolve();
      const kind = pick(random, kinds);
      const target = join(folder, `failing-${made++}`);
      const env = {
        LD_PRELOAD: library,
        ATTACK_PATH: target,
        ATTACK_ONE_IN: String(pick(random, [3, 10, 30, 100])),
        ATTACK_SEED: String(random.word()),
      };
      let foreign: string | undefined;
      const call = async (): Promise<void> => {
        foreign = await failing(kind, target, env);
        if (foreign === undefined) await write(kind, target);
      };
      const check = async (): Promise<string | undefined> => {
        await Promise.resolve();
        rmSync(target, { recursive: true, force: true });
        return foreign;
      };
      return { what: `${kind}, one in ${env.ATTACK_ONE_IN}, seed ${env.ATTACK_SEED}`, call, check };
    };
  },
};

/** What was wrong with the end of a writer on a failing disk, or undefined. */
function failing(kind: Kind, target: string, env: Readonly<Record<string, string>>): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ["--require", join(__dirname, "../engine/typescript.cjs"), join(__dirname, "killed-writer.ts"), kind, target],
      { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...env } },
    );
    let said = "";
    child.stderr.on("data", (text: Buffer) => {
      said += text.toString();
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (signal !== null) resolve(`ended by ${signal}`);
      else if (code !== 0 && !said.includes("AttributionError")) resolve(`a foreign error: ${said.slice(0, 2000)}`);
      else resolve(undefined);
    });
  });
}
