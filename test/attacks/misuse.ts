// Every exported function, by the export list itself, with wrong values anywhere in its arguments.
import * as attribution from "../../lib";
import type { Random } from "../../lib/random";
import { type Call, everyCall, otherForms } from "../engine/every-call";
import { type Attack, pick, type Try } from "./attack";

const functions = attribution as unknown as Readonly<Record<string, (...given: Call) => unknown>>;

function gone(): Float32Array {
  const array = new Float32Array(4);
  structuredClone(null, { transfer: [array.buffer] });
  return array;
}

const holes = (): unknown[] => {
  const list: unknown[] = [1];
  list[2] = 3;
  return list;
};

/** Values, made anew, that are wrong nearly everywhere. */
const values: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => NaN,
  () => -1,
  () => 0.5,
  () => 1e308,
  () => 2 ** 53,
  () => Infinity,
  () => "",
  () => "\0",
  () => "x".repeat(5000),
  () => "\ud800",
  () => Symbol("s"),
  () => 10n,
  () => true,
  () => [],
  holes,
  () => new Array(2 ** 32 - 1),
  () => ({}),
  () => Object.create(null) as object,
  () => new Proxy({}, { get: () => undefined }),
  () => () => 1,
  () => new Date(NaN),
  () => gone(),
  () => new Float64Array(3),
  () => new BigInt64Array(2),
  () => new Uint8Array(new SharedArrayBuffer(8)),
  () => Promise.resolve(1),
  () => "/dev/zero",
  () => "/proc/self/mem",
  () => `/tmp/${"n".repeat(300)}`,
];

/** A copy of an argument with one value in it, at most two levels down, replaced. */
function spoiled(value: unknown, random: Random, depth = 2): unknown {
  const isBag = typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
  const keys = isBag ? Object.keys(value) : [];
  if (depth === 0 || keys.length === 0 || random.below(3) === 0) return pick(random, values)();
  if (typeof (value as { close?: unknown }).close === "function") return pick(random, values)();
  const key = pick(random, keys);
  if (Array.isArray(value)) {
    const list = [...(value as unknown[])];
    list[Number(key)] = spoiled(list[Number(key)], random, depth - 1);
    return list;
  }
  const bag = value as Readonly<Record<string, unknown>>;
  return { ...bag, [key]: spoiled(bag[key], random, depth - 1) };
}

/** Options that a call may have beside those of the valid one. */
const optionNames =
  "parameters rank seed damping iterations memory batchTokens layers positions of baseline topK epochs learningRate betas checkpoints labels head tokenizer r controls counts seeds fractions units expected verify signal onProgress select fields ids texts groups targets limit".split(
    " ",
  );

export const misuse: Attack = {
  name: "misuse",
  prepare: async (folder) => {
    const calls = await everyCall(folder);
    const exported = Object.keys(attribution).filter((name) => /^[a-z]/.test(name));
    const missing = exported.filter((name) => !calls.has(name));
    if (missing.length > 0) throw new Error(`every-call.ts has no call of ${missing.join(", ")}`);
    const names = [...exported, ...otherForms];
    return async (random): Promise<Try> => {
      await Promise.resolve();
      const name = pick(random, names);
      const given = [...calls.get(name)!()];
      const at = random.below(Math.max(1, given.length));
      if (random.below(3) === 0) given.push({ [pick(random, optionNames)]: pick(random, values)() });
      else given[at] = spoiled(given[at], random);
      const call = async (): Promise<void> => {
        const answer = await functions[name.split(" ")[0]](...given);
        if (name === "integratedGradientsStream") for await (const block of answer as AsyncGenerator) void block;
        (answer as { close?: () => void } | undefined)?.close?.();
      };
      return { what: `${name}, argument ${at}: ${described(given[at])}`, call };
    };
  },
};

function described(value: unknown): string {
  try {
    return (JSON.stringify(value, (_, entry: unknown) => (ArrayBuffer.isView(entry) ? "array" : entry)) ?? "").slice(
      0,
      300,
    );
  } catch {
    return String(Object.prototype.toString.call(value));
  }
}
