// Parts of scores that are sums over checkpoints: the same sums of each checkpoint's parts.
import type { Instances } from "../../../types/data";
import type { InstanceAttribution } from "../../../types/results";
import type { GradientStore } from "../../../types/store";
import { AttributionError } from "../../errors";
import { type BreakdownRequest, isStore, type MadeParts, partCounts, scaledParts } from "./request";
import { type Checkpoint, sumOverCheckpoints } from "../checkpoints/checkpoints";

export const checkpointMethods: readonly string[] = [
  "tracInCheckpoints",
  "trakCheckpoints",
  "optimizerAwareSimilarity",
];

type Stores = readonly GradientStore[];

export interface CheckpointsRequest extends Omit<BreakdownRequest, "model" | "train" | "given"> {
  readonly checkpoints: readonly Checkpoint[];
  readonly train: Instances | Stores;
  readonly given: Omit<BreakdownRequest["given"], "store"> & { readonly store?: Stores };
  readonly attribution: InstanceAttribution;
}

/** `partsOf` gives a checkpoint's own parts. */
export async function checkpointParts(
  { checkpoints, attribution, train, given, ...request }: CheckpointsRequest,
  partsOf: (request: BreakdownRequest) => Promise<MadeParts>,
): Promise<MadeParts> {
  const { made, pairs } = request;
  const hashes = made.modelHash.split("+");
  for (const stores of [train, given.store]) {
    if (Array.isArray(stores) && stores.length !== checkpoints.length)
      throw new AttributionError(
        "mismatch",
        `Expected a store for each of the ${checkpoints.length} checkpoints but received ${stores.length}`,
      );
  }
  const weights = made.options["learningRates"] as readonly number[] | undefined; // TRAK's is a mean
  const at = (stores: Stores | Instances | undefined, index: number) =>
    (Array.isArray(stores) ? (stores as Stores)[index] : stores) as GradientStore | Instances | undefined;
  const doubts = new Float64Array(pairs.queries.length);
  let modules: readonly string[] = [];
  const { scores } = await sumOverCheckpoints(checkpoints, given, async ({ model, directory, call }, index) => {
    if (model.hash !== hashes[index] || hashes.length !== checkpoints.length)
      throw new AttributionError(
        "mismatch",
        `The attribution "${made.method}" is of other checkpoints: give those it was made with, in their order`,
      );
    const [own, store] = [at(train, index)!, at(given.store, index) as GradientStore | undefined];
    const basis = [own, store].find(isStore)?.settings.basis; // principal directions are each checkpoint's own
    const options = { ...made.options, ...(basis === undefined ? {} : { basis }) };
    const parts = await partsOf({
      ...request,
      model,
      directory,
      train: own,
      given: { ...given, ...call, store },
      made: { ...made, method: innerMethod(request), options, modelHash: hashes[index] },
    });
    ({ modules } = parts);
    const weight = weights?.[index] ?? 1 / checkpoints.length;
    if (parts.doubts === undefined) return { attribution, scores: parts.parts, weight };
    parts.doubts.forEach((doubt, pair) => {
      doubts[pair] += weight * doubt;
    });
    return {
      attribution,
      scores: scaledParts(
        parts.parts,
        partCounts({ ...request, train: own }, modules.length),
        parts.doubts.map((doubt) => 1 / doubt),
      ),
      weight,
    };
  });
  if (made.method !== "trakCheckpoints") return { parts: scores, modules };
  return {
    parts: scaledParts(scores, partCounts({ ...request, train: at(train, 0)! }, modules.length), doubts),
    modules,
  };
}

function innerMethod({ made: { method, options } }: Pick<BreakdownRequest, "made">): string {
  if (method === "trakCheckpoints") return "trak";
  if (method === "optimizerAwareSimilarity") return method;
  return options["preconditioner"] === undefined ? "gradientSimilarity" : "storeSimilarity";
}
