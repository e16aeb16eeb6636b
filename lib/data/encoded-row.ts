// A row of a data set as tokens, and what each of them must pass.
import type { Row } from "../../types/data";
import type { Model } from "../../types/model";
import { AttributionError } from "../errors";

/** What `encode` needs of a model. */
export type EncodingModel = Pick<Model, "tokenizer" | "architecture" | "labels">;

export interface EncodedRow {
  readonly id: string;
  readonly rows: readonly Int32Array[];
  /** Of the tokens of each row; undefined where all are 0. */
  readonly types: readonly (Int32Array | undefined)[];
  readonly label: number;
  readonly targets: Int32Array | undefined;
  readonly text: string;
}

/** Refuses ids that the model has no embedding for, and a row without any. */
export function checkIds({ architecture: { vocabulary } }: EncodingModel, row: Row, ids: Int32Array): void {
  if (ids.length === 0) throw new AttributionError("invalid", `Row "${row.id}" has no tokens`);
  const outside = ids.find((id) => id >= vocabulary);
  if (outside === undefined) return;
  throw new AttributionError(
    "mismatch",
    `Row "${row.id}" has the token id ${outside}, but the model's vocabulary ends at ${vocabulary - 1}. Is it the model's own tokenizer?`,
  );
}
