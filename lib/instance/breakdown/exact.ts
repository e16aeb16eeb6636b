// Parts of the scores of whole gradients: gradient similarity and influence.
import type { Instances } from "../../../types/data";
import type { NativeInfluenceParams } from "../../../types/native";
import { selectInstances } from "../../data/instances";
import { AttributionError } from "../../errors";
import { handleOf } from "../../model/model";
import { native, runNative } from "../../native";
import { type BreakdownRequest, distinct, isStore, type MadeParts } from "./request";
import { influenceOptionNames, influenceParams } from "../influence";
import { nativeQuantity } from "../quantity";

export const exactMethods: readonly string[] = ["gradientSimilarity", "influence"];

/** The attribution's options for the core; refuses a store. */
export async function exactParams({
  model,
  train,
  queries,
  pairs,
  made,
  given,
}: Omit<BreakdownRequest, "by">): Promise<{
  readonly train: Instances;
  readonly params: NativeInfluenceParams & { readonly similarity: "dot" | "cosine" };
}> {
  if (isStore(train))
    throw new AttributionError(
      "invalid",
      `"${made.method}" is of whole gradients: give its training instances instead of a store`,
    );
  if (given.store !== undefined) throw new AttributionError("invalid", `"${made.method}" knows no "store"`);
  const { batchTokens, memory, factors } = given;
  const own = Object.fromEntries(
    influenceOptionNames
      .filter((name) => name !== "preset" && (made.options[name] ?? null) !== null)
      .map((name) => [name, made.options[name]]),
  );
  const params = await influenceParams(model, train, { ...own, batchTokens, memory, factors }, "identity");
  if (made.options["theta"] === "own")
    throw new AttributionError("unsupported", `With theta: "own" a score is one unit's part already`);
  const of =
    made.options["of"] === undefined
      ? undefined
      : nativeQuantity(made.options["of"], model, queries, distinct(pairs.queries).chosen);
  return { train, params: { ...params, of, similarity: made.options["similarity"] === "cosine" ? "cosine" : "dot" } };
}

/** A quantity is no sum over the query's tokens. */
export function ofQuantity(): AttributionError {
  return new AttributionError(
    "unsupported",
    `The attribution is of a quantity of the query: its scores come apart by "module" or "trainToken"`,
  );
}

export async function exactParts(request: BreakdownRequest): Promise<MadeParts> {
  const { model, queries, by, pairs, given } = request;
  const { train, params } = await exactParams(request);
  if (params.of !== undefined && by === "queryToken") throw ofQuantity();
  const [q, z] = [distinct(pairs.queries), distinct(pairs.trains)];
  const sides = [
    { instances: selectInstances(queries, q.chosen), indices: q.indices },
    { instances: selectInstances(train, z.chosen), indices: z.indices },
  ];
  const isTurned = by === "queryToken" && params.inverse !== "lissa"; // LiSSA's series is not symmetric: its query's tokens are solved for
  const [sources, targets] = isTurned ? [sides[1], sides[0]] : sides;
  const parts = by === "module" ? "modules" : by === "queryToken" && !isTurned ? "vectorTokens" : "tokens";
  const nativeParams = {
    ...params,
    sources: sources.indices,
    targets: targets.indices,
    parts,
  } as const;
  const { signal, onProgress } = given;
  return {
    parts: await runNative(
      (control) =>
        native().influenceParts(handleOf(model), train, sources.instances, targets.instances, nativeParams, control),
      { signal, onProgress },
    ),
    modules: params.modules,
  };
}
