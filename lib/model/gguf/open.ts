// A GGUF file as a stored model: its config.json, its tensors by our weights' names, and its tokenizer.
import { AttributionError } from "../../errors";
import { readGgufParts } from "../../storage/gguf-parts";
import type { WeightSource } from "../../../types/architecture";
import { mapWeights } from "../weights/checkpoint-weights";
import type { StoredModel } from "../weights/stored-model";
import { ggufConfig } from "./config";
import { ggufFamilyOf, withGgufNames } from "./families";
import { ggufKeys } from "./keys";
import { ggufTokenizer } from "./tokenizer";

/** Reads the header of a GGUF file; its tensors stay where they are until the weights are loaded. */
export async function openGguf(path: string): Promise<StoredModel> {
  const contents = await readGgufParts(path);
  const keys = ggufKeys(path, contents);
  const { permutes } = ggufFamilyOf(keys);
  const config = ggufConfig(keys, contents);
  return {
    config,
    weights: ({ family, architecture, head }, expected) => {
      const map = mapWeights(
        withGgufNames(family),
        architecture,
        contents.tensors,
        expected,
        head.kind === "classification" || head.kind === "choice",
      );
      const { heads, keyValueHeads } = architecture;
      return Promise.resolve(
        permutes ? { ...map, weights: map.weights.map((source) => permuted(source, heads, keyValueHeads)) } : map,
      );
    },
    openTokenizer: () => {
      const rows = config["vocab_size"];
      if (typeof rows !== "number") throw new AttributionError("missing", `${path} has no embedding`);
      return ggufTokenizer(keys, rows);
    },
  };
}

/** The rows of which heads were interleaved. */
function permuted(source: WeightSource, heads: number, keyValueHeads: number): WeightSource {
  const [, module] = /\.attention\.(query|key)\.(?:weight|bias)$/.exec(source.weight) ?? [];
  return module === undefined ? source : { ...source, permutedHeads: module === "query" ? heads : keyValueHeads };
}
