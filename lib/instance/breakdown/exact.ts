// Parts of the scores of whole gradients: gradient similarity and influence.
import { selectInstances } from "../../data/instances";
import { AttributionError } from "../../errors";
import { handleOf } from "../../model/model";
import { native, runNative } from "../../native";
import { type BreakdownRequest, distinct, isStore, type MadeParts } from "./request";
import { influenceOptionNames, influenceParams } from "../influence";

export const exactMethods: readonly string[] = ["gradientSimilarity", "influence"];

export async function exactParts({
  model,
  train,
  queries,
  by,
  pairs,
  made,
  given,
}: BreakdownRequest): Promise<MadeParts> {
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
  const [q, z] = [distinct(pairs.queries), distinct(pairs.trains)];
  const sides = [
    { instances: selectInstances(queries, q.chosen), places: q.places },
    { instances: selectInstances(train, z.chosen), places: z.places },
  ];
  const isTurned = by === "queryToken" && params.inverse !== "lissa"; // LiSSA's series is not symmetric: its query's tokens are solved for
  const [sources, targets] = isTurned ? [sides[1], sides[0]] : sides;
  const parts = by === "module" ? "modules" : by === "queryToken" && !isTurned ? "vectorTokens" : "tokens";
  const asked = {
    ...params,
    sources: sources.places,
    targets: targets.places,
    parts,
    similarity: made.options["similarity"] === "cosine" ? "cosine" : "dot",
  } as const;
  const { signal, onProgress } = given;
  return {
    parts: await runNative(
      (control) =>
        native().influenceParts(handleOf(model), train, sources.instances, targets.instances, asked, control),
      { signal, onProgress },
    ),
    modules: params.modules,
  };
}
