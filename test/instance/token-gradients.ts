// What PyTorch says each token of the very small classifier adds to its instance's gradient (test/golden/influence/tokens.safetensors).
import { modulesOf, type Parameters } from "../../lib/instance/gradients/parameters";
import { gradientName, goldenTensors, type Tensors } from "../model/golden-tensors";
import type { Matrix } from "./feature-algebra";
import type { GoldenPair } from "./golden-pair";

export interface TokenGradients {
  readonly modules: readonly string[];
  /** First parameter of each module, and their number. */
  readonly offsets: readonly number[];
  /** Of each instance [token, parameter]: weights row-major, then the bias, module by module. */
  readonly train: readonly Matrix[];
  readonly queries: readonly Matrix[];
}

export async function tokenGradients(pair: GoldenPair, parameters: Parameters): Promise<TokenGradients> {
  const tokens = await goldenTensors("influence", "tokens.safetensors");
  const modules = modulesOf(pair.model.architecture, parameters);
  const stored = modules.map((module) =>
    gradientName(pair.model, `${module}.weight`).replace(/^gradient\.|\.weight$/g, ""),
  );
  const widths = stored.map((name) => pair.wanted[`train.gradient.${name}`].shape[1]);
  const of = (role: "train" | "queries"): Matrix[] => {
    const { rowOffsets } = pair[role];
    return Array.from({ length: pair[role].size }, (_, i) =>
      Array.from({ length: rowOffsets[i + 1] - rowOffsets[i] }, (__, t) =>
        stored.flatMap((name, m) => tokenRow(tokens, role, name, rowOffsets[i] + t, widths[m])),
      ),
    );
  };
  const offsets = widths.reduce((sums, width) => [...sums, sums[sums.length - 1] + width], [0]);
  return { modules, offsets, train: of("train"), queries: of("queries") };
}

function tokenRow(tokens: Tensors, role: string, name: string, row: number, width: number): number[] {
  const side = (which: string) => {
    const { data, shape } = tokens[`${role}.${which}.${name}`];
    return Array.from(data.slice(row * shape[1], (row + 1) * shape[1]));
  };
  const [a, g] = [side("inputs"), side("gradients")];
  const products = g.flatMap((gradient) => a.map((input) => gradient * input));
  return products.length < width ? [...products, ...g] : products;
}

/** Sum of an instance's token rows: its gradient. */
export function gradientOf(rows: Matrix): number[] {
  return rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0));
}
