// The golden pair's training set as a small store, its queries' features, and the same features by the slow way.
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { queryFeatures } from "../../lib/instance/store/scores";
import type { GradientStore, QueryFeatures } from "../../types/store";
import { type Features, featuresOf, settingsFor } from "./feature-algebra";
import { type GoldenPair, goldenPair } from "./golden-pair";

export interface StoredPair {
  readonly pair: GoldenPair;
  readonly store: GradientStore;
  readonly queries: QueryFeatures;
  readonly trainFeatures: Features;
  readonly queryRows: Features;
}

export async function storedPair(directory: string): Promise<StoredPair> {
  const pair = await goldenPair("float64");
  const store = await buildGradientStore(pair.model, pair.train, directory, {
    parameters: "mlp",
    rank: 3,
    precision: "float32",
  });
  const settings = settingsFor(pair.model, "mlp", { rank: 3 });
  return {
    pair,
    store,
    queries: await queryFeatures(pair.model, pair.queries, store),
    trainFeatures: await featuresOf(pair.model, pair.train, settings),
    queryRows: await featuresOf(pair.model, pair.queries, settings),
  };
}
