// Gradients computed once and kept: a store of the training claims' gradients, which then answers all queries without the claims.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildGradientStore } from "../../../instance/gradient-store";
import { queryFeatures, storeSimilarity } from "../../../instance/store/scores";
import type { CallOptions } from "../../../../types/common";
import type { InstanceAttribution } from "../../../../types/results";
import type { GradientStore } from "../../../../types/store";
import type { Session } from "../session";
import type { Subject } from "../subject";
import type { InstanceMethod } from "./method";

interface Answered {
  readonly attribution: InstanceAttribution;
  readonly seconds: number;
  readonly store: GradientStore;
}

/** Similarity under the inverse of the gradients' second moments (LoGra), from a store that lives for this stage. */
export async function attributeByStore(
  session: Session,
  { model, train, queries, recipe }: Subject,
): Promise<InstanceMethod> {
  const { parameters, rank, words } = recipe.store;
  const answer = async (call: CallOptions): Promise<Answered> => {
    const directory = await mkdtemp(join(tmpdir(), "attribution-demo-"));
    try {
      const store = await buildGradientStore(model, train, directory, {
        parameters,
        rank,
        seed: session.seed,
        ...call,
      });
      const started = performance.now();
      const attribution = await storeSimilarity(store, await queryFeatures(model, queries, store, call), {
        preconditioner: "gaussNewton",
        similarity: "cosine",
        ...call,
      });
      return { attribution, seconds: (performance.now() - started) / 1000, store };
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
  const { attribution } = await session.step(
    "Gradient store: built, then asked",
    answer,
    ({ store, seconds }) =>
      `${store.rows} rows of ${store.width} features, ${(store.bytes / 1e6).toFixed(1)} MB; ${queries.size} queries answered in ${seconds.toFixed(2)} s`,
  );
  return { name: `Gauss-Newton cosine from a store (${words})`, role: "method", attribution };
}
