// What a stored model tells, whichever way it is stored.
import type { Tokenizer } from "../../../types/data";
import type { ModelSource } from "../../../types/model";
import type { NativeWeightInfo } from "../../../types/native";
import type { Plan } from "../config/architecture";
import type { Config } from "../config/config-reader";
import type { WeightMap } from "./checkpoint-weights";

export interface StoredModel {
  /** config.json, or what it would say. */
  readonly config: Config;
  /** Which stored tensor fills which of the `expected` weights. */
  weights(plan: Plan, expected: readonly NativeWeightInfo[]): Promise<WeightMap>;
  openTokenizer(): Promise<Tokenizer>;
  /** Where on the hub it came from. */
  readonly source?: ModelSource;
}
