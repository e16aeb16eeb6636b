// How large the facts demo is, and all that it finds.
import type { Model } from "../../../types/model";
import type { Answers, KeptFacts, Keeping } from "./asking";
import type { Attributed, Refining } from "./attributing";
import type { Changed } from "./changing";
import type { Curves, CurveSizes } from "./curves";
import type { Known } from "./knowing";
import type { Quiz } from "./questions";
import type { Said } from "./saying";
import type { Shared } from "./sharing";
import type { Vocabulary } from "./vocabulary";

/** How large the demo is. */
export interface FactsSize {
  readonly keeping: Keeping;
  /** Nodes of the path integral. */
  readonly nodes: number;
  readonly refining: Refining;
  /** Top units whose sharing and layers are counted. */
  readonly top: number;
  /** Tokens of each continuation. */
  readonly tokens: number;
  /** Random sets beside each. */
  readonly controls: number;
  readonly curves: CurveSizes;
}

export interface FactsFindings {
  readonly model: Model;
  readonly modelName: string;
  readonly quiz: Quiz;
  readonly size: FactsSize;
  readonly answers: Answers;
  readonly kept: KeptFacts;
  readonly attributed: Attributed;
  readonly changed: readonly Changed[];
  readonly known: readonly Known[];
  readonly said: readonly Said[];
  readonly curves: Curves;
  readonly shared: readonly Shared[];
  readonly vocabulary: Vocabulary;
}
