// Replaces a case's section of benchmarks/README.md: what stands between its two markers.
import { readFile, rename, writeFile } from "node:fs/promises";
import { AttributionError } from "../lib/errors";

export function withSection(readme: string, name: string, section: string): string {
  const [open, close] = [`<!-- bench ${name} -->`, `<!-- /bench ${name} -->`];
  const [start, end] = [readme.indexOf(open), readme.indexOf(close)];
  if (start < 0 || end < start)
    throw new AttributionError("missing", `Expected the markers ${open} and ${close} in the README`);
  return `${readme.slice(0, start)}${open}\n${section}\n${readme.slice(end)}`;
}

export async function writeSection(file: string, name: string, section: string): Promise<void> {
  const text = withSection(await readFile(file, "utf8"), name, section);
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}
