// Which entries of a gradient vector are a unit's own, written out from the architecture: what brute force keeps, and zeroes the rest.
import type { Architecture } from "../../types/architecture";

export interface UnitEntry {
  readonly at: number;
  /** A shared key-value head belongs to each head of its group by an even share. */
  readonly share: number;
}

/** How a module's numbers lie: the bias as the last column of the weight [output, input + 1], or after the weight. */
export type BiasPlace = "column" | "after";

interface Shape {
  readonly outputs: number;
  readonly inputs: number;
  readonly bias: boolean;
}

/** Of each unit of a layer (neurons, then heads), its entries; `first` is the place of each module's first number. */
export function unitEntries(
  a: Architecture,
  modules: readonly string[],
  first: readonly number[],
  biasPlace: BiasPlace,
  layer: number,
): UnitEntry[][] {
  const has = (part: string) => modules.some((name) => name.includes(part));
  const neurons = has(".mlp.") ? a.intermediate : 0;
  const heads = has(".attention.") ? a.heads : 0;
  const found = Array.from({ length: neurons + heads }, (): UnitEntry[] => []);
  modules.forEach((name, m) => {
    const part = name.replace(`layers.${layer}.`, "");
    const shape = shapeOf(a, part);
    if (!name.startsWith(`layers.${layer}.`) || shape === undefined) return;
    const width = shape.inputs + (biasPlace === "column" && shape.bias ? 1 : 0);
    const add = (unit: number, at: number, share = 1) => found[unit].push({ at: first[m] + at, share });
    const row = (unit: number, r: number, share = 1) => {
      for (let c = 0; c < width; c++) add(unit, r * width + c, share);
      if (biasPlace === "after" && shape.bias) add(unit, shape.outputs * shape.inputs + r, share);
    };
    const column = (unit: number, c: number) => {
      for (let r = 0; r < shape.outputs; r++) add(unit, r * width + c);
    };
    const each = (count: number, use: (i: number) => void) => Array.from({ length: count }, (_, i) => use(i));
    const size = a.headSize;
    const expert = /^mlp\.(?:experts\.(\d+)|(shared))\.(gate|up|down)$/.exec(part);
    if (expert !== null && a.mixture !== undefined) {
      const { experts, width: own, shared } = a.mixture;
      const [from, count] = expert[2] === undefined ? [Number(expert[1]) * own, own] : [experts * own, shared];
      each(count, (u) => (expert[3] === "down" ? column(from + u, u) : row(from + u, u)));
    }
    const dense = a.mixture?.dense ?? a.intermediate;
    if (part === "mlp.up" || part === "mlp.gate") each(dense, (u) => row(u, u));
    if (part === "mlp.down") each(dense, (u) => column(u, u));
    if (part === "attention.output") each(a.heads * size, (c) => column(neurons + Math.floor(c / size), c));
    if (part === "attention.query") each(a.heads * size, (r) => row(neurons + Math.floor(r / size), r));
    if (part === "attention.key" || part === "attention.value") {
      const group = a.heads / a.keyValueHeads;
      each(a.keyValueHeads * size, (r) =>
        each(group, (g) => row(neurons + Math.floor(r / size) * group + g, r, 1 / group)),
      );
    }
    if (part === "attention.qkv")
      fusedHeads(a).forEach((owners, r) => owners.forEach(({ head, share }) => row(neurons + head, r, share)));
    if (part === "mlp.gateUp") each(2 * a.intermediate, (r) => row(r % a.intermediate, r));
  });
  return found;
}

/** Which head, or whose key-value head, each row of a fused projection is; with its share. */
function fusedHeads(a: Architecture): { readonly head: number; readonly share: number }[][] {
  const group = a.heads / a.keyValueHeads;
  const query = (head: number) => [{ head, share: 1 }];
  const shared = (own: number) =>
    Array.from({ length: group }, (_, g) => ({ head: own * group + g, share: 1 / group }));
  const blocks = [];
  if (a.queryKeyValue === "concatenated") {
    for (let head = 0; head < a.heads; head++) blocks.push(query(head));
    for (const _ of ["key", "value"]) for (let own = 0; own < a.keyValueHeads; own++) blocks.push(shared(own));
  } else {
    for (let own = 0; own < a.keyValueHeads; own++) {
      for (let g = 0; g < group; g++) blocks.push(query(own * group + g));
      blocks.push(shared(own), shared(own));
    }
  }
  return blocks.flatMap((heads) => Array.from({ length: a.headSize }, () => heads));
}

function shapeOf(a: Architecture, part: string): Shape | undefined {
  const { mixture } = a;
  if (/^mlp\.(experts|shared)\..*(gate|up|down)$/.test(part) && mixture !== undefined) {
    const width = part.includes("shared") ? mixture.shared : mixture.width;
    const [outputs, inputs] = part.endsWith("down") ? [a.hidden, width] : [width, a.hidden];
    return { outputs, inputs, bias: false };
  }
  const dense = mixture?.dense ?? a.intermediate;
  const [query, keyValue] = [a.heads * a.headSize, a.keyValueHeads * a.headSize];
  const shapes: Readonly<Record<string, Shape>> = {
    "mlp.up": { outputs: dense, inputs: a.hidden, bias: a.mlpBias },
    "mlp.gate": { outputs: dense, inputs: a.hidden, bias: a.mlpBias },
    "mlp.down": { outputs: a.hidden, inputs: dense, bias: a.mlpBias },
    "attention.query": { outputs: query, inputs: a.hidden, bias: a.queryKeyValueBias },
    "attention.key": { outputs: keyValue, inputs: a.hidden, bias: a.queryKeyValueBias },
    "attention.value": { outputs: keyValue, inputs: a.hidden, bias: a.queryKeyValueBias },
    "mlp.gateUp": { outputs: 2 * a.intermediate, inputs: a.hidden, bias: a.mlpBias },
    "attention.qkv": { outputs: query + 2 * keyValue, inputs: a.hidden, bias: a.queryKeyValueBias },
    "attention.output": { outputs: a.hidden, inputs: query, bias: a.attentionOutputBias },
  };
  return shapes[part];
}
