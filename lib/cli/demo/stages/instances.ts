// Instance attribution: the training claims that each query's answer is owed to, by every method, beside three baselines.
import { bm25 } from "../../../instance/bm25";
import { gradientSimilarity } from "../../../instance/gradient-similarity";
import { AttributionError } from "../../../errors";
import { influence, type Influence, type InfluenceOptions } from "../../../instance/influence";
import { randomInstances } from "../../../instance/random";
import { representationSimilarity } from "../../../instance/representation-similarity";
import type { Session } from "../session";
import type { Subject } from "../subject";
import type { InstanceMethod } from "./method";
import { attributeByStore } from "./store";

export interface InstanceStage {
  readonly dot: InstanceMethod;
  readonly cosine: InstanceMethod;
  /** From a gradient store. */
  readonly stored: InstanceMethod;
  readonly influence: InstanceMethod<Influence>;
  /** By other approximations or over other parameters. */
  readonly otherInfluences: readonly InstanceMethod<Influence>[];
  readonly representation: InstanceMethod;
  readonly bm25: InstanceMethod;
  readonly random: InstanceMethod;
}

export async function attributeInstances(session: Session, subject: Subject): Promise<InstanceStage> {
  const { model, train, queries, recipe } = subject;
  const { parameters, words } = recipe.gradients;
  const dot = await session.step("Gradient similarity, inner product", (call) =>
    gradientSimilarity(model, train, queries, { parameters, ...call }),
  );
  const cosine = await session.step("Gradient similarity, cosine", (call) =>
    gradientSimilarity(model, train, queries, { parameters, similarity: "cosine", ...call }),
  );
  const stored = await attributeByStore(session, subject);
  const influences: InstanceMethod<Influence>[] = [];
  for (const { words: how, ...options } of recipe.influences) {
    const attribution = await session.step(
      `Influence functions, ${how}`,
      (call) => influenceOf(subject, { seed: session.seed, ...options, ...call }),
      outcomeOf,
    );
    influences.push({ name: `Influence (${how})`, role: "method", attribution });
  }
  const baselines = await session.step("Baselines: hidden states, BM25, random", async (call) => ({
    representation: await representationSimilarity(model, train, queries, call),
    bm25: await bm25(train, queries, call),
    random: await randomInstances(train, queries, { seed: session.seed, ...call }),
  }));
  return {
    dot: { name: `Gradient dot product (${words})`, role: "method", attribution: dot },
    cosine: { name: `Gradient cosine (${words})`, role: "method", attribution: cosine },
    stored,
    influence: influences[0],
    otherInfluences: influences.slice(1),
    representation: { name: "Hidden-state cosine", role: "control", attribution: baselines.representation },
    bm25: { name: "BM25", role: "control", attribution: baselines.bm25 },
    random: { name: "Random", role: "control", attribution: baselines.random },
  };
}

/** Where H has more negative curvature than the damping makes up for, ten times the damping. */
async function influenceOf({ model, train, queries }: Subject, options: InfluenceOptions): Promise<Influence> {
  try {
    return await influence(model, train, queries, options);
  } catch (error) {
    const isTooLittle = error instanceof AttributionError && error.message.includes("not positive definite");
    if (!isTooLittle) throw error;
    return influence(model, train, queries, { ...options, damping: 10 * (options.damping ?? 0.01) });
  }
}

function outcomeOf({ solver: { iterations, residual, effectiveDamping }, provenance }: Influence): string {
  const { inverse } = provenance.options;
  if (inverse === "ekfac") return `λ ${effectiveDamping} of each module's mean eigenvalue`;
  return `λ ${effectiveDamping}, ${iterations} ${inverse === "lissa" ? "recursions" : "iterations"}, residual ${residual.toExponential(0)}`;
}
