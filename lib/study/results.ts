// What a study found, as plain JSON: results.json. The report is made of it alone.
import type { FaithfulnessPoint, Estimate } from "../../types/results";
import type { TuningRun } from "./stages/test";
import type { Definition } from "./definition";

export interface StudyResults {
  readonly format: "attribution study results";
  readonly version: 1;
  readonly definition: Definition;
  readonly versions: { readonly attribution: string; readonly libtorch: string; readonly node: string };
  readonly subjects: readonly SubjectResults[];
  /** Computed steps and their seconds; kept ones are not in it. */
  readonly times: readonly { readonly title: string; readonly seconds: number }[];
}

/** One model on one data set. */
export interface SubjectResults {
  readonly model: string;
  readonly data: string;
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  readonly origin: string;
  readonly warnings: readonly string[];
  readonly learning: Learning;
  readonly neuronTests: readonly NeuronTestRow[];
  readonly headTests: NeuronTestRow;
  readonly fineTuning: readonly TuningRun[];
  readonly datamodeling: readonly { readonly method: string; readonly score: Estimate }[];
  readonly tracing: readonly TracingRow[];
  readonly coverage: readonly { readonly method: string; readonly share: Estimate; readonly chance: number }[];
  readonly errorFinding: {
    readonly flipped: number;
    readonly rows: readonly {
      readonly method: string;
      readonly auc: Estimate;
      readonly found: number;
      readonly inspected: number;
    }[];
  } | null;
  readonly instanceOverlap: OverlapMatrix;
  readonly neuronOverlap: OverlapMatrix;
  readonly distinct: readonly {
    readonly of: "rows" | "neurons";
    readonly method: string;
    readonly chosen: number;
    readonly distinct: number;
    readonly expected: number | null;
  }[];
  readonly layers: readonly {
    readonly method: string;
    readonly role: "method" | "control";
    readonly shares: readonly number[];
  }[];
  readonly unitMap: {
    readonly method: string;
    readonly units: number;
    readonly perColumn: number;
    readonly values: readonly (readonly number[])[];
  };
  readonly diversity: readonly DiversityRow[];
  /** Spearman's correlation, over methods and shares, of the diversity of a share with the accuracy after tuning on it. */
  readonly diversityCorrelation: readonly {
    readonly measure: string;
    readonly pairs: number;
    readonly spearman: number | null;
  }[];
  readonly outOfDistribution: OutOfDistributionResults | null;
  readonly conflicts: readonly ConflictRow[];
  readonly sanity: readonly {
    readonly method: string;
    readonly of: "rows" | "neurons";
    readonly correlation: Estimate;
  }[];
  readonly queries: readonly QueryResult[];
}

export interface Learning {
  readonly shows: string;
  readonly groups: readonly {
    readonly name: string;
    readonly rows: number;
    readonly accuracy: Estimate;
    readonly majority: number;
  }[];
  /** Mean of each half of an epoch. */
  readonly losses: readonly { readonly epoch: number; readonly loss: number }[];
  readonly accuracies: readonly number[];
}

/** Deletion, insertion and MIB's curves at the same shares of units for neurons and heads. */
export interface NeuronTestRow {
  readonly method: string;
  readonly site: string;
  readonly units: number;
  readonly sufficiency: readonly FaithfulnessPoint[];
  readonly comprehensiveness: readonly FaithfulnessPoint[];
  readonly deletion: AreaRow;
  readonly insertion: AreaRow;
  readonly curve: readonly {
    readonly fraction: number;
    readonly deletion: Estimate;
    readonly insertion: Estimate;
    readonly randomDeletion: Estimate;
    readonly randomInsertion: Estimate;
  }[];
  /** MIB: ∫ f dk and ∫ |1 − f| dk of f(k) = (m(k) − m(0)) / (m(1) − m(0)) over the share k of units, by trapezoids. */
  readonly cpr: number;
  readonly cmd: number;
  readonly randomCpr: number;
  readonly randomCmd: number;
}

export interface AreaRow {
  readonly area: Estimate;
  readonly random: Estimate;
  readonly difference: Estimate;
}

export interface TracingRow {
  readonly method: string;
  readonly sameClaim: { readonly recall: Estimate; readonly reciprocalRank: Estimate };
  readonly sameFact: { readonly recall: Estimate; readonly reciprocalRank: Estimate };
}

export interface OverlapMatrix {
  readonly names: readonly string[];
  /** [method][method] mean share of the top k that two methods have in common. */
  readonly values: readonly (readonly Estimate[])[];
  readonly chance: number;
  readonly k: number;
}

export interface DiversityRow {
  readonly method: string;
  readonly distinctRows: number;
  readonly distinctTokens: number;
  readonly meanLength: number;
  readonly meanLoss: number;
  readonly meanCosine: number | null;
}

export interface ConflictRow {
  readonly query: number;
  readonly correlation: number;
  readonly overlap: number;
  readonly r: number;
  readonly withoutNa: number;
  readonly withoutIa: number;
  readonly withoutRandom: number;
  readonly restsOn: "NA" | "IA" | "neither";
}

export interface OutOfDistributionResults {
  readonly is: string;
  readonly rows: number;
  readonly accuracy: Estimate;
  readonly byPrediction: readonly { readonly label: string; readonly rows: number; readonly wrong: number }[];
  /** Share of the top 10 rows that have the (wrongly) predicted label, beside that label's share of all training rows. */
  readonly sharePredictedLabel: Estimate | null;
  readonly chancePredictedLabel: number;
  /** Mean share of top 10 neurons that a wrong row has in common with the queries' most chosen ones. */
  readonly sharedNeurons: Estimate | null;
  readonly chanceNeurons: number;
  readonly examples: readonly {
    readonly text: string;
    readonly predicted: string;
    readonly probability: number;
    readonly rows: readonly string[];
  }[];
}

export interface QueryResult {
  readonly id: string;
  readonly text: string;
  readonly group: string | null;
  readonly label: string;
  readonly prediction: string;
  readonly probability: number;
  readonly isConflict: boolean;
  readonly rankings: readonly Ranking[];
  readonly units: readonly {
    readonly method: string;
    readonly unit: string;
    readonly target: number;
    readonly entries: readonly {
      readonly layer: number;
      readonly unit: number;
      readonly isHead: boolean;
      readonly score: number;
    }[];
  }[];
}

export interface Ranking {
  readonly method: string;
  readonly unit: string;
  /** Sum of the absolute scores over all training rows. */
  readonly total: number;
  readonly top: readonly RankedRow[];
  readonly bottom: readonly RankedRow[];
}

export interface RankedRow {
  /** Index of the training row. */
  readonly index: number;
  readonly text: string;
  readonly label: string;
  readonly score: number;
  readonly isTrue: boolean;
}
