// The instance attributions that are evaluated, each from nothing: what it needs beforehand is made within its time.
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { naInstances } from "../../lib/alignment/na-instances";
import { bm25 } from "../../lib/instance/bm25";
import { dataInf } from "../../lib/instance/data-inf";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { influence, type InfluenceOptions } from "../../lib/instance/influence";
import { optimizerAwareSimilarity } from "../../lib/instance/checkpoints/optimizer-aware";
import { projectedGaussNewton } from "../../lib/instance/projected-gauss-newton";
import { randomInstances } from "../../lib/instance/random";
import { representationSimilarity } from "../../lib/instance/representation-similarity";
import { queryFeatures, storeSimilarity } from "../../lib/instance/store/scores";
import { tracInCheckpoints } from "../../lib/instance/checkpoints/tracin-checkpoints";
import { trak } from "../../lib/instance/trak";
import { trakCheckpoints } from "../../lib/instance/checkpoints/trak-checkpoints";
import { loadModel } from "../../lib/model/load-model";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import { provenance } from "../../lib/provenance";
import type { Instances } from "../../types/data";
import type { InstanceAttribution } from "../../types/results";
import type { GradientStore } from "../../types/store";
import type { Subject } from "./subjects";

export interface Scored {
  readonly attribution: InstanceAttribution;
  /** Kept on disk to answer the next query without the training set. */
  readonly bytes: number;
}

export interface Method {
  readonly name: string;
  /** @default all subjects */
  readonly only?: "classifiers";
  /** The score of an instance with itself is the same for all: says nothing of wrong labels. */
  readonly isNormalised?: boolean;
  readonly score: (subject: Subject, queries: Instances, scratch: string) => Promise<Scored>;
}

const memory = "3 GB";

function direct(
  name: string,
  score: (subject: Subject, queries: Instances) => Promise<InstanceAttribution>,
  only?: Method["only"],
): Method {
  return { name, only, score: async (subject, queries) => ({ attribution: await score(subject, queries), bytes: 0 }) };
}

/** With a store of the model, or one of each checkpoint, for the time of the call. */
function stored(
  name: string,
  rank: number,
  score: (subject: Subject, queries: Instances, stores: readonly GradientStore[]) => Promise<InstanceAttribution>,
  models: "last" | "all" = "last",
): Method {
  return {
    name: `${name}, rank ${rank}`,
    score: async (subject, queries, scratch) => {
      const folder = await mkdtemp(join(scratch, "stores-"));
      try {
        const stores: GradientStore[] = [];
        for (const [place, checkpoint] of (models === "last"
          ? subject.checkpoints.slice(-1)
          : subject.checkpoints
        ).entries()) {
          using model = await loadModel(checkpoint);
          stores.push(
            await buildGradientStore(model, subject.train, join(folder, String(place)), {
              parameters: "linear",
              rank,
              precision: "float16",
            }),
          );
        }
        return {
          attribution: await score(subject, queries, stores),
          bytes: stores.reduce((sum, { bytes }) => sum + bytes, 0),
        };
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Where H has more negative curvature than λ makes up for (cg), or larger eigenvalues than the scale (lissa), ten times as much. */
async function raised(
  name: "damping" | "scale",
  { model, train }: Subject,
  queries: Instances,
  options: InfluenceOptions,
): Promise<InstanceAttribution> {
  for (let value = options[name] ?? 0.01; ; value *= 10) {
    try {
      return await influence(model, train, queries, { ...options, [name]: value });
    } catch (error) {
      if (value > 1e4 || !/not positive definite|diverged/.test((error as Error).message)) throw error;
    }
  }
}

async function byNeurons({ model, train }: Subject, queries: Instances): Promise<InstanceAttribution> {
  return naInstances(await integratedGradients(model, queries), await integratedGradients(model, train));
}

/** 1 where query and training row have one label: what the labels alone foretell, however little the model has learned. */
async function byLabel({ train }: Subject, queries: Instances): Promise<InstanceAttribution> {
  const frame = await randomInstances(train, queries);
  const scores = frame.scores.map((_, i) =>
    Number(queries.labels[Math.floor(i / train.size)] === train.labels[i % train.size]),
  );
  return {
    ...frame,
    scores,
    unit: "1 for the same label, else 0",
    provenance: provenance({ method: "sameLabel", options: {}, data: { train, queries } }),
  };
}

const normalised = (method: Method): Method => ({ ...method, isNormalised: true });

export function methodsOf(seed: number): readonly Method[] {
  return [
    direct("random", ({ train }, queries) => randomInstances(train, queries, { seed })),
    normalised(direct("same label", byLabel, "classifiers")),
    direct("BM25", ({ train }, queries) => bm25(train, queries)),
    normalised(
      direct("hidden-state cosine", ({ model, train }, queries) => representationSimilarity(model, train, queries)),
    ),
    normalised(direct("NA-Instances, integrated gradients", byNeurons, "classifiers")),
    direct("gradient dot, MLP, exact", ({ model, train }, queries) =>
      gradientSimilarity(model, train, queries, { memory }),
    ),
    normalised(
      direct("gradient cosine, MLP, exact", ({ model, train }, queries) =>
        gradientSimilarity(model, train, queries, { memory, similarity: "cosine" }),
      ),
    ),
    stored("gradient dot", 16, async ({ model }, queries, [store]) =>
      storeSimilarity(store, await queryFeatures(model, queries, store)),
    ),
    normalised(
      stored("gradient cosine", 16, async ({ model }, queries, [store]) =>
        storeSimilarity(store, await queryFeatures(model, queries, store), { similarity: "cosine" }),
      ),
    ),
    stored(
      "TracIn-CP, all epochs",
      16,
      ({ checkpoints }, queries, stores) => tracInCheckpoints(checkpoints, stores, queries),
      "all",
    ),
    direct("optimizer-aware (LESS), MLP, all epochs", ({ checkpoints, train }, queries) =>
      optimizerAwareSimilarity(checkpoints, train, queries, { memory }),
    ),
    direct(
      "influence, CG, head",
      (subject, queries) =>
        raised("damping", subject, queries, {
          inverse: "cg",
          parameters: "head",
          iterations: 30,
          tolerance: 1e-3,
          memory,
        }),
      "classifiers",
    ),
    direct(
      "influence, LiSSA, head",
      (subject, queries) =>
        raised("scale", subject, queries, {
          inverse: "lissa",
          parameters: "head",
          scale: 100,
          recursions: 1000,
          seed,
          memory,
        }),
      "classifiers",
    ),
    direct("influence, Arnoldi, head", ({ model, train }, queries) =>
      influence(model, train, queries, {
        inverse: "arnoldi",
        parameters: "head",
        iterations: 40,
        rank: 20,
        seed,
        memory,
      }),
    ),
    direct("influence, EK-FAC", ({ model, train }, queries) =>
      influence(model, train, queries, { inverse: "ekfac", parameters: "linear", seed, memory }),
    ),
    stored("projected Gauss-Newton (LoGra)", 16, ({ model }, queries, [store]) =>
      projectedGaussNewton(model, store, queries),
    ),
    normalised(
      stored("projected Gauss-Newton, cosine", 16, ({ model }, queries, [store]) =>
        projectedGaussNewton(model, store, queries, { similarity: "cosine" }),
      ),
    ),
    stored("DataInf", 16, ({ model }, queries, [store]) => dataInf(model, store, queries)),
    stored("TRAK, last epoch", 8, ({ model }, queries, [store]) => trak(model, store, queries)),
    stored(
      "TRAK, all epochs",
      8,
      ({ checkpoints }, queries, stores) => trakCheckpoints(checkpoints, stores, queries),
      "all",
    ),
  ];
}
