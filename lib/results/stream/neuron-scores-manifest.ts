// The manifest of a folder of neuron scores: with which arguments it was begun, its blocks and, once whole, their fingerprints.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { AttributionError, shown } from "../../errors";
import { fileExists, namesIn, readJsonObject, writeBeside } from "../../storage/files";
import { corrupt } from "../../storage/listing";
import type { NeuronScores, Provenance } from "../../../types/results";
import { sign } from "../layout";
import { longestManifest, manifestFile } from "../manifest";

const format = "attribution-neuron-scores";
const schema = 1;

/** All that decides the bytes of the folder. */
export interface ScoresRequest extends Pick<
  NeuronScores,
  "instances" | "layers" | "units" | "site" | "select" | "unit"
> {
  readonly provenance: Provenance;
  /** SHA-256 of a given baseline's values, else "". */
  readonly baselineHash: string;
  readonly engine: string;
  readonly blockInstances: number;
  readonly batchTokens: number;
  readonly memoryBytes: number;
}

export interface ScoresManifest {
  readonly request: ScoresRequest;
  /** sha256 is "" until all blocks are there. */
  readonly blocks: NeuronScores["blocks"];
}

export const isWhole = ({ blocks }: ScoresManifest): boolean => blocks.every(({ sha256 }) => sha256 !== "");

export function plannedBlocks({ instances, blockInstances }: ScoresRequest): NeuronScores["blocks"] {
  return Array.from({ length: Math.ceil(instances / blockInstances) }, (_, i) => ({
    file: `scores-${String(i).padStart(5, "0")}.safetensors`,
    instances: Math.min(blockInstances, instances - i * blockInstances),
    sha256: "",
  }));
}

/** The manifest that is there, or undefined in a folder that is empty. */
export async function findScores(folder: string): Promise<ScoresManifest | undefined> {
  const names = await namesIn(folder);
  const foreign = names.find((name) => !/^(manifest\.json|scores-\d{5,}\.safetensors)$/.test(name));
  if (foreign !== undefined)
    throw new AttributionError(
      "invalid",
      `${folder} holds other files ("${foreign}"). Choose a folder that is new, empty or holds neuron scores`,
    );
  return names.includes(manifestFile) ? readScores(folder) : undefined;
}

export async function readScores(folder: string): Promise<ScoresManifest> {
  const path = join(folder, manifestFile);
  if (!(await fileExists(path)))
    throw new AttributionError(
      "missing",
      `${folder} holds no neuron scores: it has no ${manifestFile}. Make them with integratedGradientsTo`,
    );
  const value = await readJsonObject(path, longestManifest);
  if (value["format"] !== format)
    throw new AttributionError(
      "invalid",
      `Expected ${folder} to hold neuron scores of many instances, but its ${manifestFile} has the format ${shown(value["format"])}`,
    );
  if (value["schema"] !== schema)
    throw new AttributionError(
      "unsupported",
      `The scores in ${folder} have schema ${shown(value["schema"])}; this version reads schema ${schema}. Use the version of attribution that wrote them`,
    );
  const manifest = { request: value["request"], blocks: value["blocks"] } as ScoresManifest;
  if (value["sha256"] !== sealOf(manifest)) throw corrupt(path, "it was changed after it was written");
  const isBlock = (block: unknown) =>
    typeof block === "object" &&
    block !== null &&
    /^scores-\d{5,}\.safetensors$/.test(String((block as { file?: unknown }).file)) &&
    Number.isSafeInteger((block as { instances?: unknown }).instances) &&
    typeof (block as { sha256?: unknown }).sha256 === "string";
  if (!Array.isArray(manifest.blocks) || !manifest.blocks.every(isBlock) || !isRequest(manifest.request))
    throw corrupt(path, "its list of blocks cannot be read");
  return manifest;
}

/** What the readers of scores go by. */
function isRequest(request: unknown): boolean {
  if (typeof request !== "object" || request === null) return false;
  const { instances, layers, units, blockInstances, provenance } = request as Record<string, unknown>;
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1;
  return (
    [instances, layers, units, blockInstances].every(isCount) && typeof provenance === "object" && provenance !== null
  );
}

export async function writeScores(folder: string, { request, blocks }: ScoresManifest): Promise<void> {
  const axes = { scores: ["instances", "layers", "units"], indices: "layer · units + unit" };
  const text = JSON.stringify(
    { format, schema, sign, axes, request, blocks, sha256: sealOf({ request, blocks }) },
    null,
    2,
  );
  await writeBeside(join(folder, manifestFile), [Buffer.from(`${text}\n`)]);
}

function sealOf({ request, blocks }: ScoresManifest): string {
  return createHash("sha256")
    .update(JSON.stringify([request, blocks]) ?? "")
    .digest("hex");
}

/** What a block's file says it belongs to. */
export function requestHash(request: ScoresRequest): string {
  return createHash("sha256").update(JSON.stringify(request)).digest("hex");
}

/** Refuses to go on with other arguments, and names the first difference. */
export function requireSameRequest(folder: string, found: ScoresManifest, request: ScoresRequest): void {
  const leaves = (value: unknown, path: string): [string, string][] =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([name, entry]) => leaves(entry, path === "" ? name : `${path}.${name}`))
      : [[path, JSON.stringify(value) ?? "undefined"]];
  const wasThere = new Map(leaves(found.request, ""));
  const wanted = new Map(leaves(request, ""));
  for (const name of new Set([...wasThere.keys(), ...wanted.keys()])) {
    if (wasThere.get(name) === wanted.get(name) || (name.startsWith("provenance.versions.") && isWhole(found)))
      continue;
    const short = (text = "nothing") => (text.length > 80 ? `${text.slice(0, 80)}…` : text);
    throw new AttributionError(
      "mismatch",
      `The scores in ${folder} were made with other arguments: "${name.replace(/^provenance\./, "")}" was ${short(wasThere.get(name))}, but this call has ${short(wanted.get(name))}. Choose another directory, or the same arguments`,
    );
  }
}
