// Models: from a word to ids. Byte pair encoding has a file of its own (byte-pairs.ts).
import { bytePairs } from "./byte-pairs";
import { countOf, flagOf, type Json, listAt, misshapen, textOf, typeOf, unsupported } from "./pieces";
import { bytesOf, byteTokens, type Model, vocabularyMap, withoutUnknown } from "./vocabulary";

/** The model that tokenizer.json describes, with a memory of the words it has seen. */
export function modelOf(part: unknown): Model {
  const json = typedModel(part);
  const model = makers[String(json["type"])](json);
  return { vocabulary: model.vocabulary, ids: remembering((word) => model.ids(word)) };
}

const makers: Readonly<Record<string, (json: Json) => Model>> = {
  BPE: bytePairs,
  WordPiece: wordPiece,
  WordLevel: wordLevel,
  Unigram: unigram,
};

/** Older files leave the type out: the fields tell it. */
function typedModel(part: unknown): Json {
  const json = part as Json;
  const type =
    json["type"] ?? (Array.isArray(json["vocab"]) ? "Unigram" : json["merges"] !== undefined ? "BPE" : undefined);
  const typed = typeOf({ ...json, type }, "model");
  if (!Object.hasOwn(makers, typed.type)) throw unsupported(`the model "${typed.type}"`);
  return typed.json;
}

const mostWords = 1 << 16;
const longestWord = 64;

function remembering(idsOf: (word: string) => readonly number[]): (word: string) => readonly number[] {
  const kept = new Map<string, readonly number[]>();
  return (word) => {
    const known = kept.get(word);
    if (known !== undefined) return known;
    const ids = idsOf(word);
    if (kept.size >= mostWords) kept.clear();
    if (word.length <= longestWord) kept.set(word, ids);
    return ids;
  };
}

function wordLevel(json: Json): Model {
  const vocabulary = vocabularyMap(json);
  const unknown = vocabulary.get(textOf(json, "unk_token", "model WordLevel", "<unk>"));
  return {
    vocabulary,
    ids: (word) => {
      const id = vocabulary.get(word) ?? unknown;
      if (id === undefined) throw withoutUnknown(word);
      return [id];
    },
  };
}

/** The longest tokens from the left; a word that cannot be made of tokens is unknown as a whole. */
function wordPiece(json: Json): Model {
  const vocabulary = vocabularyMap(json);
  const unknown = vocabulary.get(textOf(json, "unk_token", "model WordPiece", "[UNK]"));
  const prefix = textOf(json, "continuing_subword_prefix", "model WordPiece", "##");
  const most = countOf(json, "max_input_chars_per_word", 100);
  const unknownIds = (word: string): readonly number[] => {
    if (unknown === undefined) throw withoutUnknown(word);
    return [unknown];
  };
  return {
    vocabulary,
    ids: (word) => {
      const characters = Array.from(word);
      if (characters.length > most) return unknownIds(word);
      const ids: number[] = [];
      for (let start = 0; start < characters.length;) {
        let end = characters.length;
        let id: number | undefined;
        for (; end > start && id === undefined; end--)
          id = vocabulary.get((start > 0 ? prefix : "") + characters.slice(start, end).join(""));
        if (id === undefined) return unknownIds(word);
        ids.push(id);
        start = end + 1;
      }
      return ids;
    },
  };
}

/** The pieces of the greatest summed score; what no piece covers is unknown, and unknown neighbours are one. */
function unigram(json: Json): Model {
  const entries = listAt(json, "vocab", "model Unigram") as readonly (readonly [string, number])[];
  const wrong = entries.findIndex(
    (entry) => !Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number",
  );
  if (wrong >= 0) throw misshapen(`model Unigram has an entry ${wrong} that is no pair of text and score`);
  const vocabulary = new Map(entries.map(([token], id) => [token, id]));
  const scores = Float64Array.from(entries, ([, score]) => score);
  const longest = lengthsByFirst(vocabulary);
  const least = scores.reduce((low, score) => Math.min(low, score), Infinity);
  const unknown = json["unk_id"] === null || json["unk_id"] === undefined ? undefined : countOf(json, "unk_id", 0);
  if (unknown !== undefined && unknown >= entries.length)
    throw misshapen("model Unigram has an unk_id outside of its vocabulary");
  const lattice: Lattice = { vocabulary, scores, longest, unknown, unknownScore: least - 10 };
  const bytes = flagOf(json, "byte_fallback", false) ? byteTokens(vocabulary) : undefined;
  return {
    vocabulary,
    ids: (word) =>
      bestPieces(lattice, word).flatMap((piece) => {
        const id = vocabulary.get(piece);
        if (id !== undefined) return [id];
        const spelt = bytes === undefined ? undefined : bytesOf(bytes, piece);
        if (spelt !== undefined) return spelt;
        if (unknown === undefined) throw withoutUnknown(piece);
        return [unknown];
      }),
  };
}

interface Lattice {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly scores: Float64Array;
  readonly longest: ReadonlyMap<number, number>;
  readonly unknown: number | undefined;
  readonly unknownScore: number;
}

function lengthsByFirst(vocabulary: ReadonlyMap<string, number>): ReadonlyMap<number, number> {
  const longest = new Map<number, number>();
  for (const token of vocabulary.keys()) {
    const first = token.charCodeAt(0);
    if (token !== "") longest.set(first, Math.max(longest.get(first) ?? 0, token.length));
  }
  return longest;
}

/** The best way to each position, from the left; of equal ones the first found. */
function bestPieces({ vocabulary, scores, longest, unknown, unknownScore }: Lattice, word: string): string[] {
  const best = new Float64Array(word.length + 1);
  const from = new Int32Array(word.length + 1).fill(-1);
  const token = new Int32Array(word.length + 1);
  const offer = (start: number, end: number, id: number, score: number): void => {
    if (from[end] >= 0 && !(score > best[end])) return;
    [best[end], from[end], token[end]] = [score, start, id];
  };
  for (let start = 0; start < word.length;) {
    const width = word.codePointAt(start)! > 0xffff ? 2 : 1;
    const last = Math.min(word.length, start + (longest.get(word.charCodeAt(start)) ?? 0));
    let alone = false;
    for (let end = start + 1; end <= last; end++) {
      const id = vocabulary.get(word.slice(start, end));
      if (id === undefined) continue;
      offer(start, end, id, best[start] + scores[id]);
      alone ||= end - start === width;
    }
    if (!alone) {
      if (unknown === undefined) throw withoutUnknown(word.slice(start, start + width));
      offer(start, start + width, unknown, best[start] + unknownScore);
    }
    start += width;
  }
  return piecesBack(word, from, token, unknown);
}

function piecesBack(word: string, from: Int32Array, token: Int32Array, unknown: number | undefined): string[] {
  const pieces: string[] = [];
  let open = "";
  for (let end = word.length; end > 0; end = from[end]) {
    const piece = word.slice(from[end], end);
    if (token[end] === unknown) open = piece + open;
    else {
      if (open !== "") pieces.push(open);
      open = "";
      pieces.push(piece);
    }
  }
  if (open !== "") pieces.push(open);
  return pieces.reverse();
}
