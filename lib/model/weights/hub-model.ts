// A model by its hub id: from the cache where it is whole there, else its needed files are fetched.
import { join } from "node:path";
import type { CallOptions } from "../../../types/common";
import type { ModelSource } from "../../../types/model";
import { AttributionError } from "../../errors";
import { cachedSnapshot } from "../../hub/cache";
import type { Repository } from "../../hub/repository";
import { hubSettings } from "../../hub/settings";
import { type Listing, openListing } from "../../hub/snapshot";
import { fileExists } from "../../storage/files";
import { shardNames } from "../../storage/shards";
import { containers } from "./checkpoint";

export interface FoundModel {
  readonly path: string;
  readonly form: "directory" | "adapter" | "gguf";
  readonly hub?: ModelSource;
}

/** What is fetched beside the weights, where the repository has it. */
const described = [
  "config.json",
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
];

/** What an adapter's repository holds in place of a model. */
export const adapterFiles = ["adapter_config.json", "adapter_model.safetensors"] as const;

/** `file`: a GGUF file of the repository, in place of config.json and weights. */
export async function findOnHub(
  id: string,
  file: string | undefined,
  revision: string,
  call: CallOptions,
): Promise<FoundModel> {
  const repository: Repository = { type: "model", id };
  const settings = hubSettings();
  const cached = await cachedSnapshot(settings, repository, revision);
  const there = cached === undefined ? "nothing" : await wholeness(cached.path, file);
  if (cached !== undefined && (there === "whole" || (there === "loadable" && settings.offline)))
    return foundAt(id, file, cached);
  if (settings.offline)
    throw new AttributionError(
      "missing",
      `No directory or file ${id}, and "${id}" at ${revision} is not whole in the cache ${settings.cache}. HF_HUB_OFFLINE forbids to fetch it: unset it, or give a path`,
    );
  const listing = await openListing(repository, revision, call).catch((error: unknown) => {
    // Without a network, a cached model without a tokenizer is better than none.
    if (there === "loadable" && error instanceof AttributionError && error.code === "network") return undefined;
    throw error;
  });
  if (listing === undefined) return foundAt(id, file, cached!);
  await (file === undefined ? fetchModel(listing, call) : listing.fetch([file]));
  await listing.keep();
  return foundAt(id, file, listing);
}

async function foundAt(
  id: string,
  file: string | undefined,
  { path, commit }: { readonly path: string; readonly commit: string },
): Promise<FoundModel> {
  const hub = Object.freeze({ id, revision: commit });
  if (file !== undefined) return { path: join(path, file), form: "gguf", hub };
  return { path, form: (await fileExists(join(path, "config.json"))) ? "directory" : "adapter", hub };
}

/** "whole": configuration, weights and tokenizer. "loadable": a tokenizer may be missing, or the repository has none. */
async function wholeness(path: string, file: string | undefined): Promise<"nothing" | "loadable" | "whole"> {
  const has = async (...names: readonly string[]): Promise<boolean> =>
    (await Promise.all(names.map((name) => fileExists(join(path, name))))).every(Boolean);
  if (file !== undefined) return (await has(file)) ? "whole" : "nothing";
  if (!(await has("config.json"))) return (await has(...adapterFiles)) ? "whole" : "nothing";
  for (const container of containers) {
    if (!(await has(container.file))) continue;
    const shards = container.file.endsWith(".index.json") ? await shardNames(join(path, container.file)) : [];
    if (!(await has(...shards))) return "nothing";
    return (await has("tokenizer.json")) || (await has("vocab.json", "merges.txt")) ? "whole" : "loadable";
  }
  return "nothing";
}

async function fetchModel(listing: Listing, call: CallOptions): Promise<void> {
  const { files, repository } = listing;
  if (!files.has("config.json")) {
    if (!adapterFiles.every((name) => files.has(name))) throw withoutConfig(listing);
    return void (await listing.fetch([...described.filter((name) => files.has(name)), ...adapterFiles]));
  }
  const container = containers.find(({ file }) => files.has(file));
  if (container === undefined)
    throw new AttributionError(
      "unsupported",
      `The repository "${repository.id}" has no weights that can be read; expected one of ${containers.map(({ file }) => file).join(", ")}`,
    );
  const small = described.filter((name) => files.has(name));
  if (!container.file.endsWith(".index.json")) return void (await listing.fetch([...small, container.file]));
  // The small files without a word: progress counts the shards.
  const quiet = call.signal === undefined ? {} : { signal: call.signal };
  const places = await listing.fetch([...small, container.file], quiet);
  await listing.fetch(await shardNames(places.at(-1)!));
}

function withoutConfig({ files, repository: { id } }: Listing): AttributionError {
  const gguf = [...files.keys()].filter((name) => /^[^/]+\.gguf$/.test(name));
  if (gguf.length > 0)
    return new AttributionError(
      "missing",
      `The repository "${id}" holds GGUF files. Name one of them: ${gguf
        .slice(0, 5)
        .map((name) => `"${id}/${name}"`)
        .join(", ")}${gguf.length > 5 ? ", …" : ""}`,
    );
  if (files.has(adapterFiles[0]))
    return new AttributionError(
      "unsupported",
      `The adapter "${id}" has no ${adapterFiles[1]}. Save it with safetensors`,
    );
  return new AttributionError(
    "missing",
    `The repository "${id}" has no config.json, so it is no model of transformers`,
  );
}
