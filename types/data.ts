import type { HeadKind } from "./architecture";

/** One example as its file states it. Fields are the source's own, as strings. */
export interface Row {
  readonly id: string;
  /** Named texts: `premise`, `hypothesis`, `claim`, `evidence`, `question`, `choices`... */
  readonly fields: Readonly<Record<string, string | readonly string[]>>;
  /** Index into `Dataset.labels` (classification), index of the right choice (listwise), or −1 where none is given. */
  readonly label: number;
}

export interface Dataset {
  readonly name: string;
  readonly rows: readonly Row[];
  /** Class names; empty for listwise data and plain text. */
  readonly labels: readonly string[];
  /** SHA-256 over rows and labels, hexadecimal. */
  readonly hash: string;
}

/**
 * Encoded examples: ragged token rows, without padding. An instance is one row, or for listwise choice one row per choice.
 * Typed arrays are read by the native thread while a call runs; do not change them.
 */
export interface Instances {
  readonly kind: HeadKind;
  /** Number of instances. */
  readonly size: number;
  /** Token ids of all rows, one row after the other. */
  readonly tokens: Int32Array;
  /** Row r is tokens[rowOffsets[r] … rowOffsets[r + 1]); length rows + 1. */
  readonly rowOffsets: Int32Array;
  /** Instance i owns rows groupOffsets[i] … groupOffsets[i + 1]; length size + 1. */
  readonly groupOffsets: Int32Array;
  /** Gold class, gold choice, for a causal LM the gold next token after the row, for a masked LM the gold token at the mask; −1 where unknown. */
  readonly labels: Int32Array;
  /**
   * Language models only: the token that each position must predict, −100 where none counts; same length as `tokens`. A masked LM's
   * rows have one such position each, the masked one: its token, or −1 where it is not known. Otherwise empty.
   */
  readonly targets: Int32Array;
  /** Encoders: the type of each token, 0 for the first text of a pair and 1 for the second; absent where all are 0. */
  readonly tokenTypes?: Int32Array;
  /** The ids that `encode` has put before and behind each input; absent where nobody says. */
  readonly added?: AddedIds;
  readonly ids: readonly string[];
  /** The text of each instance as the template made it (choices joined by a line break). */
  readonly texts: readonly string[];
  /** SHA-256 over tokens, offsets, labels and targets, hexadecimal. */
  readonly hash: string;
}

/** Ids put before and behind texts. */
export interface AddedIds {
  readonly start: readonly number[];
  readonly end: readonly number[];
}

/** What a tokenizer's files put around the two texts of a pair, and the type of each part's tokens. */
export interface PairTemplate {
  readonly start: readonly number[];
  readonly middle: readonly number[];
  readonly end: readonly number[];
  readonly types: {
    readonly start: number;
    readonly first: number;
    readonly middle: number;
    readonly second: number;
    readonly end: number;
  };
}

/** Text to ids and back. Asynchronous, because large vocabularies are held by a worker thread so that the event loop stays free. */
export interface Tokenizer {
  /** Ids of each text; special tokens written in the text become their ids; none are added. */
  encode(texts: readonly string[]): Promise<Int32Array[]>;
  decode(ids: ArrayLike<number>): Promise<string>;
  /** The texts of single tokens, e.g. for a report. */
  tokenTexts(ids: ArrayLike<number>): Promise<string[]>;
  /** Number of ids, added tokens included. */
  readonly size: number;
  /** Ids by role, where the checkpoint names them. */
  readonly special: {
    readonly bos?: number;
    readonly eos?: number;
    readonly pad?: number;
    readonly unk?: number;
    readonly mask?: number;
  };
  /** Ids that the tokenizer's own files ask for before and behind each text (post-processor, add_bos_token, add_eos_token). */
  readonly start: readonly number[];
  readonly end: readonly number[];
  /** The same of a pair of texts, where the files say it. */
  readonly pair?: PairTemplate;
  /** The files it was read from, copied by `saveModel`. */
  readonly files: readonly string[];
  close(): void;
}
