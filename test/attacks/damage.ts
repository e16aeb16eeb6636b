// Damage to files: bytes changed, cut, grown, moved; and JSON whose values are replaced.
import type { Random } from "../../lib/random";
import { pick } from "./attack";

type Damage = (bytes: Buffer, random: Random) => Buffer;

const at = (bytes: Buffer, random: Random): number => random.below(Math.max(1, bytes.length));

const damages: Readonly<Record<string, Damage>> = {
  flip: (bytes, random) => {
    for (let i = random.below(8); i >= 0 && bytes.length > 0; i--) bytes[at(bytes, random)] ^= 1 << random.below(8);
    return bytes;
  },
  flipNearStart: (bytes, random) => {
    for (let i = random.below(4); i >= 0 && bytes.length > 0; i--)
      bytes[random.below(Math.min(bytes.length, 200))] = random.below(256);
    return bytes;
  },
  cut: (bytes, random) => bytes.subarray(0, at(bytes, random)),
  empty: () => Buffer.alloc(0),
  grow: (bytes, random) => Buffer.concat([bytes, Buffer.alloc(1 + random.below(64), random.below(256))]),
  drop: (bytes, random) => {
    const from = at(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + random.below(32))]);
  },
  repeat: (bytes, random) => {
    const from = at(bytes, random);
    const piece = bytes.subarray(from, from + 1 + random.below(64));
    return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(from)]);
  },
  extremes: (bytes, random) => {
    const from = at(bytes, random);
    bytes.fill(pick(random, [0, 0xff, 0x7f, 0x80]), from, from + pick(random, [1, 2, 4, 8]));
    return bytes;
  },
};

/** A damaged copy, with the name of what was done. */
export function damaged(bytes: Buffer, random: Random): { readonly name: string; readonly bytes: Buffer } {
  const name = pick(random, Object.keys(damages));
  return { name, bytes: damages[name](Buffer.from(bytes), random) };
}

const strange: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  1e300,
  2 ** 31,
  2 ** 53,
  "",
  "x",
  "../../etc/passwd",
  "a".repeat(5000),
  [],
  [null],
  {},
  { $tensor: "x" },
  [[[[]]]],
];

/** JSON with one value, anywhere in it, replaced by a strange one, removed, or doubled. */
export function forged(value: unknown, random: Random): unknown {
  const copy = structuredClone(value);
  const places: [Record<string, unknown>, string][] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key]);
      walk((node as Record<string, unknown>)[key]);
    }
  };
  walk(copy);
  if (places.length === 0) return pick(random, strange);
  const [node, key] = pick(random, places);
  if (random.below(4) === 0 && !Array.isArray(node)) delete node[key];
  else node[key] = pick(random, strange);
  return copy;
}
