// How a result says where it came from. Does not load the addon: the caller passes libtorch's version.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { AddedIds } from "../types/data";
import type { Model } from "../types/model";
import type { Provenance } from "../types/results";

export interface ProvenanceSource {
  readonly method: string;
  /** Options as resolved, JSON-serialisable. */
  readonly options: Readonly<Record<string, unknown>>;
  /** None for results that no model made (BM25, random). */
  readonly model?: Pick<Model, "hash" | "dtype" | "source"> | null;
  /** What was attributed, by role; only the hashes are kept. */
  readonly data: Readonly<Record<string, { readonly hash: string; readonly added?: AddedIds }>>;
  /** libtorch's version; "" where it took no part. @default "" */
  readonly libtorch?: string;
}

/** A result's provenance, frozen. Without a model the hash is "" and the type "float64", the type of JavaScript's numbers. */
export function provenance({ method, options, model = null, data, libtorch = "" }: ProvenanceSource): Provenance {
  return Object.freeze({
    method,
    options: Object.freeze({ ...options }),
    modelHash: model?.hash ?? "",
    ...(model?.source === undefined ? {} : { modelSource: Object.freeze({ ...model.source }) }),
    dataHashes: Object.freeze(Object.fromEntries(Object.entries(data).map(([role, { hash }]) => [role, hash]))),
    ...addedTokens(data),
    versions: Object.freeze({ attribution: libraryVersion(), libtorch }),
    dtype: model?.dtype ?? "float64",
  });
}

/** The start and end tokens of each role's inputs, where `encode` made them. */
function addedTokens(data: ProvenanceSource["data"]): Pick<Provenance, "addedTokens"> {
  const added = Object.entries(data).flatMap(([role, { added }]) =>
    added === undefined ? [] : [[role, added] as const],
  );
  return added.length === 0 ? {} : { addedTokens: Object.freeze(Object.fromEntries(added)) };
}

/**
 * Whether two results, or a result and a model, speak of one model, by their hashes. Results of no model ("") go with any; one of
 * several checkpoints has their hashes with "+" between and goes with each of them.
 */
export function isSameModel(a: string, b: string): boolean {
  const theirs = b.split("+");
  return a === "" || b === "" || a.split("+").some((hash) => theirs.includes(hash));
}

let version: string | undefined;

/** The version in our package.json, the first one above this file (its depth differs between lib/ and what is published). */
export function libraryVersion(): string {
  for (let folder = __dirname; version === undefined; folder = dirname(folder)) {
    try {
      version = String(
        (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version?: unknown }).version,
      );
    } catch {
      if (dirname(folder) === folder) version = "unknown";
    }
  }
  return version;
}
