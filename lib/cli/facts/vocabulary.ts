// What each fact's units write, read as tokens; and where the fact's answer ranks in it, beside random units of the same layers.
import { capture } from "../../model/capture";
import { unitTokens, type UnitTokens, type UnitWrite } from "../../neuron/unit-tokens";
import { createRandom } from "../../random";
import { rowScores } from "../../results/top";
import type { CallOptions } from "../../../types/common";
import type { Model } from "../../../types/model";
import type { Session } from "../session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import { unitKinds, type Attributed, type UnitKind } from "./attributing";
import { placeOf, randomLike, type PlacedUnit } from "../../neuron/random-units";

export interface ReadUnit extends PlacedUnit {
  readonly kind: UnitKind;
  readonly fact: number;
  readonly score: number;
  /** The neuron's value in the fact's first question; NaN of a head. */
  readonly value: number;
  /** Best first, as they are written. */
  readonly tokens: readonly string[];
  /** Of the answer's first token. */
  readonly rank: number;
}

export interface Vocabulary {
  readonly units: readonly ReadUnit[];
  /** Ranks that the answers have in random units of the refined units' layers. */
  readonly randomRanks: readonly number[];
}

/** The units of every fact, the refined and the specific ones. */
export async function readUnits(
  session: Session,
  model: Model,
  answers: Answers,
  facts: readonly KnownFact[],
  attributed: Attributed,
  controls: number,
): Promise<Vocabulary> {
  return session.step("What the units write, as tokens", async (call) => {
    const questions = questionsAt(
      answers,
      facts.map(({ refining }) => refining[0]),
    );
    const values = {
      neurons: (await capture(model, questions, { site: "neurons", ...call })).values,
      heads: (await capture(model, questions, { site: "heads", ...call })).values,
    };
    const read = (chosen: readonly Chosen[]) => readChosen(model, values, questions.labels, chosen, call);
    const chosen = unitKinds.flatMap((kind) =>
      attributed.units[kind].flatMap((units, fact) => Array.from(units, (index) => ({ kind, fact, index }))),
    );
    const random = attributed.units.refined.flatMap((units, fact) =>
      Array.from({ length: controls }, (_, draw) =>
        Array.from(randomLike(model.architecture, units, createRandom(session.seed, 41, fact, draw)), (index) => ({
          fact,
          index,
        })),
      ).flat(),
    );
    const found = await read(chosen);
    const units: ReadUnit[] = [];
    for (const [at, { kind, fact, index }] of chosen.entries()) {
      const { rank, tokens } = found[at];
      const rows = attributed.rows[fact];
      const place = placeOf(model.architecture, index);
      const texts = await model.tokenizer.tokenTexts(tokens.map(({ id }) => id));
      units.push({
        ...place,
        kind,
        fact,
        rank,
        tokens: texts,
        score: rows.reduce((sum, row) => sum + rowScores(attributed.scores, row)[index], 0) / rows.length,
        value: valueOf(model, values, { fact, ...place })[0],
      });
    }
    return { units, randomRanks: (await read(random)).map(({ rank }) => rank) };
  });
}

interface Chosen {
  readonly fact: number;
  readonly index: number;
}
type Values = Readonly<Record<"neurons" | "heads", Float32Array>>;

async function readChosen(
  model: Model,
  values: Values,
  labels: Int32Array,
  chosen: readonly Chosen[],
  call: CallOptions,
): Promise<UnitTokens[]> {
  const places = chosen.map(({ fact, index }) => ({ fact, ...placeOf(model.architecture, index) }));
  const results = new Array<UnitTokens>(chosen.length);
  for (const site of ["neurons", "heads"] as const) {
    const own = places.flatMap((place, at) => (place.site === site ? [at] : []));
    if (own.length === 0) continue;
    const writes = own.map((at): UnitWrite => ({
      ...places[at],
      value: valueOf(model, values, places[at]),
      rankOf: labels[places[at].fact],
    }));
    (await unitTokens(model, writes, { site, top: 6, ...call })).forEach((result, at) => {
      results[own[at]] = result;
    });
  }
  return results;
}

/** A unit's value at the first question of a fact; of a head its slice. */
function valueOf(
  { architecture }: Model,
  values: Values,
  { fact, site, layer, unit }: PlacedUnit & { readonly fact: number },
): Float32Array {
  const { layers, intermediate, heads, headSize } = architecture;
  const [width, size] = site === "heads" ? [heads * headSize, headSize] : [intermediate, 1];
  const start = (fact * layers + layer) * width + unit * size;
  return values[site].subarray(start, start + size);
}
