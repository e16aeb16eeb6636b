// Byte pair encoding (Sennrich et al. 2016): a word's characters, joined pair by pair in the order of the merges.
import { flagOf, type Json, misshapen, unsupported } from "./pieces";
import { bytesOf, byteTokens, type Model, vocabularyMap, withoutUnknown } from "./vocabulary";

interface Merges {
  /** Merges by pair: its rank. */
  readonly ranks: ReadonlyMap<number, number>;
  /** By rank: the token that the pair becomes. */
  readonly results: Int32Array;
}

/** Ids are below this: a pair of them is one exact number. */
const mostIds = 2 ** 26;
const pairOf = (left: number, right: number): number => left * mostIds + right;

export function bytePairs(json: Json): Model {
  if (typeof json["dropout"] === "number" && json["dropout"] > 0) throw unsupported("the model BPE with dropout");
  const vocabulary = vocabularyMap(json);
  const prefix = optional(json, "continuing_subword_prefix");
  const suffix = optional(json, "end_of_word_suffix");
  const merges = mergesOf(json, vocabulary, prefix);
  const symbols = symbolsOf(json, vocabulary, prefix, suffix);
  const wholeWords = flagOf(json, "ignore_merges", false);
  return {
    vocabulary,
    ids: (word) => {
      const whole = wholeWords ? vocabulary.get(word) : undefined;
      return whole === undefined ? merged(symbols(word), merges) : [whole];
    },
  };
}

function optional(json: Json, key: string): string {
  const value = json[key] ?? "";
  if (typeof value !== "string") throw misshapen(`model BPE has a "${key}" that is no text`);
  return value;
}

function mergesOf(json: Json, vocabulary: ReadonlyMap<string, number>, prefix: string): Merges {
  const list = json["merges"] as readonly (string | readonly [string, string])[];
  const ranks = new Map<number, number>();
  const results = new Int32Array(list.length);
  list.forEach((merge, rank) => {
    const [left, right] = typeof merge === "string" ? splitMerge(merge) : merge;
    const ids = [left, right, left + right.slice(prefix.length)].map((token) => vocabulary.get(token));
    const lacking = ids.indexOf(undefined);
    if (lacking >= 0) throw misshapen(`merge ${JSON.stringify(merge)} speaks of a token that the vocabulary lacks`);
    ranks.set(pairOf(ids[0]!, ids[1]!), rank);
    results[rank] = ids[2]!;
  });
  return { ranks, results };
}

export function splitMerge(merge: string): [string, string] {
  const space = merge.indexOf(" ");
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** From a word to the ids of its characters; what the vocabulary lacks becomes bytes, the unknown token, or nothing. */
function symbolsOf(
  json: Json,
  vocabulary: ReadonlyMap<string, number>,
  prefix: string,
  suffix: string,
): (word: string) => number[] {
  const bytes = flagOf(json, "byte_fallback", false) ? byteTokens(vocabulary) : undefined;
  const fuse = flagOf(json, "fuse_unk", false);
  const name = json["unk_token"];
  const unknownOf = (word: string): number | undefined => {
    if (typeof name !== "string") return undefined;
    const id = vocabulary.get(name);
    if (id === undefined) throw withoutUnknown(word);
    return id;
  };
  return (word) => {
    const characters = Array.from(word);
    const ids: number[] = [];
    // An unknown token waits until a known one comes, so that its neighbours can join it; bytes go before it, as in Rust.
    let waiting: number | undefined;
    characters.forEach((character, index) => {
      const symbol = (index > 0 ? prefix : "") + character + (index === characters.length - 1 ? suffix : "");
      const id = vocabulary.get(symbol);
      if (id !== undefined) {
        if (waiting !== undefined) ids.push(waiting);
        waiting = undefined;
        ids.push(id);
        return;
      }
      const spelt = bytes === undefined ? undefined : bytesOf(bytes, symbol);
      if (spelt !== undefined) ids.push(...spelt);
      else {
        const unknown = unknownOf(word);
        if (waiting !== undefined && !fuse) ids.push(waiting);
        waiting = unknown ?? waiting;
      }
    });
    if (waiting !== undefined) ids.push(waiting);
    return ids;
  };
}

/** All merges, the lowest rank first and of equal ones the leftmost. */
function merged(ids: number[], { ranks, results }: Merges): number[] {
  const next = Int32Array.from(ids, (_, index) => index + 1);
  const before = Int32Array.from(ids, (_, index) => index - 1);
  const gone = new Uint8Array(ids.length);
  const queue = new RankQueue();
  const offer = (at: number): void => {
    const rank = at < 0 || next[at] >= ids.length ? undefined : ranks.get(pairOf(ids[at], ids[next[at]]));
    if (rank !== undefined) queue.push(rank, at);
  };
  for (let at = 0; at < ids.length; at++) offer(at);
  for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
    const { rank, at } = top;
    const right = next[at];
    if (gone[at] === 1 || right >= ids.length) continue;
    // An entry of an earlier pair: it counts only where the pair that is there now becomes the same token.
    const now = ranks.get(pairOf(ids[at], ids[right]));
    if (now === undefined || results[now] !== results[rank]) continue;
    ids[at] = results[rank];
    gone[right] = 1;
    next[at] = next[right];
    if (next[right] < ids.length) before[next[right]] = at;
    offer(before[at]);
    offer(at);
  }
  return ids.filter((_, index) => gone[index] === 0);
}

/** A binary heap of (rank, position), the least first. */
class RankQueue {
  private readonly ranks: number[] = [];
  private readonly positions: number[] = [];

  push(rank: number, at: number): void {
    let index = this.ranks.length;
    this.ranks.push(rank);
    this.positions.push(at);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.less(index, parent)) return;
      this.swap(index, parent);
      index = parent;
    }
  }

  pop(): { readonly rank: number; readonly at: number } | undefined {
    if (this.ranks.length === 0) return undefined;
    const top = { rank: this.ranks[0], at: this.positions[0] };
    this.swap(0, this.ranks.length - 1);
    this.ranks.pop();
    this.positions.pop();
    for (let index = 0; ;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      let least = index;
      if (left < this.ranks.length && this.less(left, least)) least = left;
      if (right < this.ranks.length && this.less(right, least)) least = right;
      if (least === index) return top;
      this.swap(index, least);
      index = least;
    }
  }

  private less(a: number, b: number): boolean {
    const { ranks, positions } = this;
    return ranks[a] < ranks[b] || (ranks[a] === ranks[b] && positions[a] < positions[b]);
  }

  private swap(a: number, b: number): void {
    const { ranks, positions } = this;
    [ranks[a], ranks[b]] = [ranks[b], ranks[a]];
    [positions[a], positions[b]] = [positions[b], positions[a]];
  }
}
