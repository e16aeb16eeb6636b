// The countries demo's subject: a small decoder of Pythia's kind (one of the paper's models), trained from scratch on the claims.
import { createModel } from "../../model/create-model";
import type { Model } from "../../../types/model";
import type { ClaimData } from "./claims";
import { countryClaims } from "./countries";
import type { Session } from "./session";
import type { Recipe, Subject } from "./subject";
import { tunedSubject } from "./tuned-subject";
import { wordTokenizer } from "./vocabulary";

/** How large the demo is. */
export interface CountrySize {
  readonly countries: number;
  /** Training claims of each value of a fact. */
  readonly wordings: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly epochs: number;
  readonly queries: number;
  readonly recipe: Recipe;
}

/** What `attribution demo` takes: the smallest size at which the model learned the facts in every seed that was tried. */
export const countrySize: CountrySize = {
  countries: 45,
  wordings: 3,
  hidden: 64,
  layers: 4,
  heads: 4,
  intermediate: 128,
  epochs: 14,
  queries: 40,
  recipe: {
    gradients: { parameters: "linear", words: "all blocks" },
    store: { parameters: "linear", rank: 16, words: "all blocks, rank 16" },
    influences: [
      {
        inverse: "cg",
        parameters: ["layers.3.mlp.*", "score"],
        damping: 0.1,
        iterations: 30,
        tolerance: 1e-2,
        words: "CG, last MLP and head",
      },
      { inverse: "ekfac", parameters: "linear", words: "EK-FAC, all blocks" },
    ],
    trainNodes: 20,
    neuronSizes: [1, 2, 5, 10, 20, 50, 100],
    headSizes: [1, 2, 4, 8, 12],
    controls: 5,
    tuningTest: { fractions: [0.3, 0.6], seeds: [42, 60] },
    cards: 6,
    conflicts: 5,
  },
};

export async function countrySubject(session: Session, size: CountrySize): Promise<Subject> {
  const data = await countryClaims({ seed: session.seed, countries: size.countries, wordings: size.wordings });
  const base = await newDecoder(data, size, session.seed);
  return tunedSubject(session, {
    name: `a decoder of Pythia's kind (${size.layers} layers, trained from scratch)`,
    data,
    base,
    template: "{claim}",
    queries: size.queries,
    recipe: size.recipe,
    tuning: { epochs: size.epochs, batchSize: 32, learningRate: 2e-3, warmupSteps: 50, keep: "last" },
  });
}

async function newDecoder(
  data: ClaimData,
  { hidden, layers, heads, intermediate }: CountrySize,
  seed: number,
): Promise<Model> {
  const tokenizer = await wordTokenizer(data.train.map(({ text }) => text));
  const config = {
    model_type: "gpt_neox",
    vocab_size: tokenizer.size,
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    max_position_embeddings: 64,
    hidden_act: "gelu",
    rotary_pct: 1,
    use_parallel_residual: false,
    hidden_dropout: 0,
    attention_dropout: 0.1,
    initializer_range: 0.1, // 0.02 is for large models; with it this small one takes twice as many epochs
  };
  return createModel(config, { tokenizer, labels: data.labels, seed });
}
