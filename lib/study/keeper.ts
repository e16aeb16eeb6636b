// Results kept by content: each in a folder that is named by the hash of all it depends on. A folder appears whole, by renaming, so
// that a study may be killed at any moment and two may run at once.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import type { CallOptions } from "../../types/common";
import type { Model } from "../../types/model";
import type { Attribution } from "../../types/results";
import { AttributionError } from "../errors";
import { loadModel } from "../model/load-model";
import { saveModel } from "../model/save-model";
import { load } from "../results/load";
import { save } from "../results/save";

/** What a folder holds: a model's checkpoint, an attribution as `save` writes it, or any plain value. */
export type Form = "model" | "attribution" | "value";

export interface Keeper {
  has(key: string): Promise<boolean>;
  read<T>(key: string, form: Form, call: CallOptions): Promise<T>;
  keep(key: string, form: Form, value: unknown, about: object): Promise<void>;
  /** Where a key's folder is. */
  folderOf(key: string): string;
}

/** The hash of what a result depends on. */
export function keyOf(stage: string, parts: unknown): string {
  return `${stage}-${createHash("sha256").update(canonical(parts)).digest("hex").slice(0, 24)}`;
}

/** JSON in which the order of an object's fields does not matter. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value).filter(([, each]) => each !== undefined);
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`)
    .join(",")}}`;
}

export function keeperIn(root: string): Keeper {
  const folderOf = (key: string): string => join(root, key);
  return {
    folderOf,
    has: async (key) => (await stat(join(folderOf(key), "about.json")).catch(() => undefined)) !== undefined,
    read: async <T>(key: string, form: Form, call: CallOptions) =>
      (await readers[form](join(folderOf(key), "content"), call)) as T,
    keep: async (key, form, value, about) => {
      const partial = join(root, `.partial-${key}-${randomBytes(6).toString("hex")}`);
      try {
        await mkdir(partial, { recursive: true });
        await writers[form](join(partial, "content"), value);
        await writeFile(join(partial, "about.json"), `${JSON.stringify(about, null, 2)}\n`);
        await rename(partial, folderOf(key)).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error; // another run was first: its result is the same
        });
      } catch (cause) {
        throw cause instanceof AttributionError
          ? cause
          : new AttributionError("memory", `${folderOf(key)} cannot be written: ${(cause as Error).message}`, {
              cause,
            });
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
    },
  };
}

const readers: Readonly<Record<Form, (path: string, call: CallOptions) => Promise<unknown>>> = {
  model: (path, call) => loadModel(path, call),
  attribution: (path) => load(path),
  value: readValue,
};

const writers: Readonly<Record<Form, (path: string, value: unknown) => Promise<void>>> = {
  model: (path, value) => saveModel(value as Model, path),
  attribution: (path, value) => save(value as Attribution, path),
  value: writeValue,
};

/** A value's bytes with their hash before them; typed arrays, NaN and infinities keep their kind. */
async function writeValue(path: string, value: unknown): Promise<void> {
  const bytes = serialize(value);
  await writeFile(path, Buffer.concat([createHash("sha256").update(bytes).digest(), bytes]));
}

async function readValue(path: string): Promise<unknown> {
  const bytes = await readFile(path);
  const content = bytes.subarray(32);
  if (!createHash("sha256").update(content).digest().equals(bytes.subarray(0, 32)))
    throw new AttributionError("corrupt", `${path} is damaged: remove its folder and run the study again`);
  return deserialize(content);
}

/** Removes what runs that were killed left unfinished, where it is older than a day. */
export async function tidy(root: string): Promise<void> {
  const names = (await readdir(root).catch(() => [])).filter((name) => name.startsWith(".partial-"));
  for (const name of names) {
    const path = join(root, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > 86_400_000)
      await rm(path, { recursive: true, force: true });
  }
}
