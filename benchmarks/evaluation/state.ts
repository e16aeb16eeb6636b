// Where a run of the evaluation keeps what it has: each step's outcome is whole or absent, so that a run that was cut goes on.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { AttributionError } from "../../lib/errors";
import { libraryVersion } from "../../lib/provenance";
import { readJsonObject, writeBeside } from "../../lib/storage/files";
import { benchmarkFolder } from "../folder";

/** The folder of the real data sets; refuses by name what is not there. */
export function dataFolder(
  files: readonly string[],
  folder = process.env["ATTRIBUTION_DATA"] ?? join(dirname(benchmarkFolder()), "..", "shared", "data"),
): string {
  const missing = files.find((file) => !existsSync(join(folder, file)));
  if (missing === undefined) return folder;
  throw new AttributionError(
    "missing",
    `The evaluation is skipped: it needs real data and there is no ${join(folder, missing)}. Set ATTRIBUTION_DATA to a folder that holds ${files.join(", ")}`,
  );
}

/** Other settings have another folder; `results/` is not committed. */
export function stateFolder(settings: object): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([libraryVersion(), settings]))
    .digest("hex")
    .slice(0, 8);
  return join(dirname(benchmarkFolder()), "results", `evaluation-${hash}`);
}

/** What the file holds; made and written where it is not there. */
export async function kept<T extends object>(file: string, make: () => Promise<T>): Promise<T> {
  if (existsSync(file)) return (await readJsonObject(file)) as T;
  const made = await make();
  await writeBeside(file, [Buffer.from(JSON.stringify(made))]);
  return made;
}
