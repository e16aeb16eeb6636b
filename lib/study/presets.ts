// Studies by name: a file of one's own, or a preset that comes with the package in studies/.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AttributionError } from "../errors";
import { fileExists } from "../storage/files";
import { type Definition, parseDefinition } from "./definition";

export const presetNames = [
  "small/claims",
  "small/claims-short",
  "paper/averitec",
  "paper/mnli",
  "paper/csqa",
  "paper/hans",
  "real/mnli",
  "real/averitec",
  "real/csqa",
] as const;

export interface FoundStudy {
  readonly definition: Definition;
  readonly file: string;
  /** Where its relative paths start: beside the file; of a preset, where the command was given. */
  readonly root: string;
}

/** A path that exists wins over a preset of the same name. */
export async function findStudy(name: string): Promise<FoundStudy> {
  if (await fileExists(name)) return { definition: await read(name), file: name, root: dirname(resolve(name)) };
  if ((presetNames as readonly string[]).includes(name)) {
    const file = join(packageFolder(__dirname), "studies", `${name}.json`);
    return { definition: await read(file), file, root: process.cwd() };
  }
  throw new AttributionError(
    "missing",
    `There is neither a file nor a preset "${name}". Presets: ${presetNames.join(", ")}`,
  );
}

/** The nearest folder above that has studies/small: its depth differs between lib/ and dist/. */
function packageFolder(folder: string): string {
  if (existsSync(join(folder, "studies", "small"))) return folder;
  if (dirname(folder) !== folder) return packageFolder(dirname(folder));
  throw new AttributionError("missing", "The package's folder of studies was not found around its own files");
}

async function read(file: string): Promise<Definition> {
  const text = await readFile(file, "utf8");
  try {
    return parseDefinition(JSON.parse(text), file);
  } catch (error) {
    if (error instanceof AttributionError) throw error;
    throw new AttributionError("corrupt", `${file} is no JSON: ${(error as Error).message}`, { cause: error });
  }
}
