// A data set of the Hugging Face hub by its id: the Parquet files that the hub converts every public data set to, one folder for
// each variant and split. Fetched into the cache that Python uses.
import { AttributionError } from "../../errors";
import { isHubId, revisionOf, type Repository } from "../../hub/repository";
import { openListing } from "../../hub/snapshot";
import { cachedFiles } from "../../hub/cache";
import { hubSettings } from "../../hub/settings";
import type { CallOptions } from "../../../types/common";
import type { DatasetSource, FieldMapping } from "../source-row";
import { parquet } from "./own";

const converted = "refs/convert/parquet";

export const hub: DatasetSource = {
  labels: "found",
  async *read(id, mapping, call) {
    for (const path of await filesOf(id, mapping, call)) yield* parquet.read(path, mapping, call);
  },
};

/** The files of a split, from the cache where they are there, in their order. */
async function filesOf(id: string, mapping: FieldMapping, call: CallOptions): Promise<readonly string[]> {
  if (!isHubId(id))
    throw new AttributionError("invalid", `Expected "path" to be a hub id ("owner/name") but received "${id}"`);
  const repository: Repository = { type: "dataset", id };
  const revision = revisionOf({ revision: mapping.revision ?? converted });
  const settings = hubSettings();
  if (settings.offline) {
    const cached = await cachedFiles(settings, repository, revision);
    return chosen(id, [...cached.keys()], mapping).map((name) => cached.get(name)!);
  }
  const listing = await openListing(repository, revision, call);
  const names = chosen(id, [...listing.files.keys()], mapping);
  const paths = await listing.fetch(names);
  await listing.keep();
  return paths;
}

/** The files "VARIANT/SPLIT/0000.parquet" of one variant and split; of very large data sets the hub converts a part. */
function chosen(id: string, names: readonly string[], { split = "train", variant }: FieldMapping): readonly string[] {
  const found = names.flatMap((path) => {
    const [, inVariant, inSplit] = /^([^/]+)\/(?:partial-)?([^/]+)\/[^/]+\.parquet$/.exec(path) ?? [];
    return inVariant === undefined ? [] : [{ path, variant: inVariant, split: inSplit }];
  });
  const variants = [...new Set(found.map((each) => each.variant))];
  if (variants.length === 0)
    throw new AttributionError(
      "missing",
      `The hub has no Parquet files "VARIANT/SPLIT/….parquet" of the data set "${id}". Fetch one of its files, and give its path`,
    );
  const wanted = variant ?? (variants.length === 1 ? variants[0] : "default");
  if (!variants.includes(wanted))
    throw new AttributionError("missing", `"${id}" has the variants ${variants.join(", ")}. Name one by "variant"`);
  const inVariant = found.filter((each) => each.variant === wanted);
  const files = inVariant.filter((each) => each.split === split).map(({ path }) => path);
  if (files.length > 0) return files.sort();
  const splits = [...new Set(inVariant.map((each) => each.split))];
  throw new AttributionError(
    "missing",
    `"${id}" has no split "${split}". It has ${splits.join(", ")}: name one by "split"`,
  );
}
