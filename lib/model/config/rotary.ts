// Rotary embeddings as config.json asks for them, in transformers 4's spelling (`rope_theta`, `rope_scaling`) or 5's
// (`rope_parameters`). Every rope scaling comes to factors of the default frequencies base^(−2 i / size).
import type { Rotary } from "../../../types/architecture";
import { real, setting, unsupported, wrong, type Config } from "./config-reader";
import { shown } from "../../errors";

/** What a family knows of its rotary embeddings. */
export interface RotaryDefaults {
  readonly headSize: number;
  readonly base: number;
  /** Longest input in tokens, `max_position_embeddings`. */
  readonly positions: number;
  /** Share of a head's features that is turned; undefined where the family turns all and knows no share. */
  readonly share?: number;
  readonly interleaved?: boolean;
}

/** What is asked for, under its names in config.json. */
interface RotaryRequest {
  /** Where it stands, for messages. */
  readonly name: string;
  readonly type: string;
  readonly base: number | undefined;
  readonly share: number | undefined;
  /** The numbers and lists of the scaling. */
  readonly others: Config;
}

/** The rotary embedding of all layers. */
export function readRotary(config: Config, defaults: RotaryDefaults): Rotary {
  const request = rotaryRequest(config);
  const base = request.base ?? real(config, ["rope_theta"], defaults.base, 1, 1e15);
  const share = request.share ?? real(config, ["partial_rotary_factor"], defaults.share ?? 1, 0, 1);
  if (defaults.share === undefined && share !== 1) throw unsupported(`"partial_rotary_factor": ${share}`);
  return scaledRotary(config, request, { ...defaults, base, share });
}

/** Longest input of a model with this embedding: a dynamic scaling goes beyond the model's positions. */
export function reachOf(rotary: Rotary, positions: number): number {
  return rotary.growth > 0 ? Math.floor(positions * rotary.growth) : positions;
}

/** Base, share and scaling that config.json states, before a family's own names and defaults. */
export function rotaryRequest(config: Config): RotaryRequest {
  const scaling = setting(config, "rope_scaling");
  const isEmpty = typeof scaling === "object" && Object.keys(scaling as object).length === 0;
  const name = scaling === undefined || isEmpty ? "rope_parameters" : "rope_scaling";
  return requestOf(name, setting(config, name) ?? {});
}

/** The same of one object. */
export function requestOf(name: string, parameters: unknown): RotaryRequest {
  if (typeof parameters !== "object" || parameters === null || Array.isArray(parameters))
    throw wrong([name], "an object", parameters);
  const { rope_type, type, rope_theta, partial_rotary_factor, ...others } = parameters as Config;
  const kind = rope_type ?? type ?? "default";
  if (typeof kind !== "string") throw wrong([`${name}.rope_type`], "a text", kind);
  const positive = { rope_theta, partial_rotary_factor };
  const isGiven = (value: unknown) => value !== undefined && value !== null;
  return {
    name,
    type: kind,
    base: isGiven(rope_theta) ? real(positive, ["rope_theta"], 0, 1, 1e15) : undefined,
    share: isGiven(partial_rotary_factor) ? real(positive, ["partial_rotary_factor"], 0, 0, 1) : undefined,
    others: Object.fromEntries(Object.entries(others).filter(([, value]) => isGiven(value))),
  };
}

/** The embedding with the scaling that is asked for. */
export function scaledRotary(
  config: Config,
  request: RotaryRequest,
  { headSize, base, share = 1, positions, interleaved = false }: RotaryDefaults,
): Rotary {
  const size = Math.trunc(headSize * share);
  if (size < 2 || size % 2 !== 0)
    throw unsupported(
      `rotary embeddings of ${size} of the ${headSize} features of a head; expected an even number of at least 2`,
    );
  const scaling = scalings.get(request.type);
  const words = `the rope scaling ${shown(request.type)} ("${request.name}": ${shown(request.others)})`;
  if (scaling === undefined) throw unsupported(words);
  const foreign = Object.keys(request.others).find((key) => !scaling.reads.includes(key));
  if (foreign !== undefined) throw unsupported(`"${foreign}" in "${request.name}" with ${words}`);
  const original =
    count(config, "original_max_position_embeddings") ?? count(request.others, "original_max_position_embeddings");
  const plain = {
    size,
    base,
    interleaved,
    factors: [],
    scale: 1,
    longest: 0,
    longFactors: [],
    longScale: 1,
    growth: 0,
  };
  return {
    ...plain,
    ...scaling.apply({ size, base, positions, original: original ?? positions, others: request.others }),
  };
}

function count(config: Config, name: string): number | undefined {
  return setting(config, name) === undefined ? undefined : real(config, [name], 0, 1, 1 << 24);
}

interface ScalingInput {
  readonly size: number;
  readonly base: number;
  readonly positions: number;
  /** Tokens that the model was made for before the scaling. */
  readonly original: number;
  readonly others: Config;
}

interface Scaling {
  readonly reads: readonly string[];
  readonly apply: (input: ScalingInput) => Partial<Rotary>;
}

const scalings: ReadonlyMap<string, Scaling> = new Map<string, Scaling>([
  ["default", { reads: [], apply: () => ({}) }],
  ["linear", { reads: ["factor"], apply: linear }],
  ["dynamic", { reads: ["factor"], apply: dynamic }],
  [
    "llama3",
    { reads: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"], apply: llama3 },
  ],
  [
    "yarn",
    {
      reads: [
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
      ],
      apply: yarn,
    },
  ],
  [
    "longrope",
    {
      reads: ["short_factor", "long_factor", "factor", "attention_factor", "original_max_position_embeddings"],
      apply: longrope,
    },
  ],
]);

const pairs = (size: number): number[] => Array.from({ length: size / 2 }, (_, i) => i);

function factorOf(others: Config, fallback?: number): number {
  if (others["factor"] === undefined && fallback === undefined)
    throw wrong(["factor"], "a number of at least 1", undefined);
  return real(others, ["factor"], fallback ?? 0, 1, 1e6);
}

/** Positions divided by the factor (kaiokendev). */
function linear({ size, others }: ScalingInput): Partial<Rotary> {
  const factor = factorOf(others);
  return { factors: pairs(size).map(() => 1 / factor) };
}

/** Rows beyond the positions raise the base (NTK-aware, bloc97 and emozilla). */
function dynamic({ size, positions, others }: ScalingInput): Partial<Rotary> {
  if (size === 2) throw unsupported("a dynamic rope scaling of two features");
  return { longest: positions, growth: factorOf(others) };
}

/** Long waves are stretched, short ones kept, those between blended (Llama 3.1). */
function llama3({ size, base, original, others }: ScalingInput): Partial<Rotary> {
  const factor = factorOf(others);
  const low = real(others, ["low_freq_factor"], NaN, 0, 1e6);
  const high = real(others, ["high_freq_factor"], NaN, 0, 1e6);
  if (!(high > low)) throw wrong(["high_freq_factor"], `a number above "low_freq_factor": ${low}`, high);
  return {
    factors: pairs(size).map((i) => {
      const wave = 2 * Math.PI * base ** ((2 * i) / size);
      if (wave < original / high) return 1;
      if (wave > original / low) return 1 / factor;
      const kept = (original / wave - low) / (high - low);
      return (1 - kept) / factor + kept;
    }),
  };
}

/** Pairs that turn often are kept, those that turn seldom are stretched (Peng et al. 2023). */
function yarn({ size, base, positions, original, others }: ScalingInput): Partial<Rotary> {
  const factor = factorOf(others, Math.max(1, positions / original));
  const pairThatTurns = (turns: number) => (size * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const bounds = [
    pairThatTurns(real(others, ["beta_fast"], 32, 1e-9, 1e9)),
    pairThatTurns(real(others, ["beta_slow"], 1, 1e-9, 1e9)),
  ];
  const isTruncated = others["truncate"] !== false;
  const low = Math.max(isTruncated ? Math.floor(bounds[0]) : bounds[0], 0);
  const end = Math.min(isTruncated ? Math.ceil(bounds[1]) : bounds[1], size - 1);
  const high = end === low ? end + 0.001 : end;
  return {
    scale: yarnScale(factor, others),
    factors: pairs(size).map((i) => {
      const stretched = Math.min(1, Math.max(0, (i - low) / (high - low)));
      return stretched / factor + (1 - stretched);
    }),
  };
}

function yarnScale(factor: number, others: Config): number {
  const scale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const weight = real(others, ["mscale"], 0, 0, 1e6);
  const allWeight = real(others, ["mscale_all_dim"], 0, 0, 1e6);
  return real(
    others,
    ["attention_factor"],
    weight > 0 && allWeight > 0 ? scale(weight) / scale(allWeight) : scale(1),
    0,
    1e6,
  );
}

/** Each pair has its own factor, another one in rows longer than the original positions (Ding et al. 2024). */
function longrope({ size, positions, original, others }: ScalingInput): Partial<Rotary> {
  const factor = factorOf(others, Math.max(1, positions / original));
  const scale = real(
    others,
    ["attention_factor"],
    factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original)),
    0,
    1e6,
  );
  return {
    scale,
    factors: inverse(others, "short_factor", size / 2),
    longest: original,
    longFactors: inverse(others, "long_factor", size / 2),
    longScale: scale,
  };
}

function inverse(others: Config, name: string, length: number): number[] {
  const list = others[name];
  if (!Array.isArray(list) || list.length !== length || !list.every((x) => typeof x === "number" && x > 0))
    throw wrong([name], `a list of ${length} numbers above 0`, list);
  return (list as number[]).map((x) => 1 / x);
}
