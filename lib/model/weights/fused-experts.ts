// transformers 5 can write the experts of a layer as two tensors. Each expert's matrix is a run of such a tensor's bytes, so the
// tensor is listed as the matrices that it holds, under the names that the hub's files have.
import { AttributionError } from "../../errors";
import type { Architecture, Mixture } from "../../../types/architecture";
import type { ListedTensor } from "../../storage/listing";
import type { Family } from "../families/family";

/** The list with every expert's matrices in the place of the fused tensors; any other list as it is. */
export function withoutFusion(
  family: Family,
  architecture: Architecture,
  tensors: readonly ListedTensor[],
): readonly ListedTensor[] {
  const { mixture, hidden } = architecture;
  const names = family.fused;
  if (mixture === undefined || names === undefined) return tensors;
  const gateUp = matcher(names.gateUp);
  if (!tensors.some(({ name }) => gateUp.test(name))) return tensors;
  const named = (module: string, [, prefix, layer]: readonly string[], expert = 0) =>
    `${prefix}${family.modules[`layers.{i}.mlp.${module}`].replace("{i}", layer).replace("{e}", `${expert}`)}.weight`;
  const { width } = mixture;
  return tensors.flatMap((tensor) => {
    const [both, down, router] = [gateUp, matcher(names.down), matcher(`${names.router}.weight`)].map((pattern) =>
      pattern.exec(tensor.name),
    );
    if (both !== null)
      return parts(mixture, tensor, [2 * width, hidden], [width, hidden], (expert, part) =>
        named(`experts.{e}.${part === 0 ? "gate" : "up"}`, both, expert),
      );
    if (down !== null)
      return parts(mixture, tensor, [hidden, width], [hidden, width], (expert) =>
        named("experts.{e}.down", down, expert),
      );
    return router === null ? [tensor] : [{ ...tensor, name: named("router", router) }];
  });
}

/** Any prefix, then the name with its layer. */
function matcher(name: string): RegExp {
  return new RegExp(`^(.*?)${name.replaceAll(".", "\\.").replace("{i}", "(\\d+)")}$`);
}

/** A tensor [expert, ...whole] as the matrices of the given shape that lie in it one after the other. */
function parts(
  { experts }: Mixture,
  tensor: ListedTensor,
  whole: readonly number[],
  shape: readonly number[],
  nameOf: (expert: number, part: number) => string,
): ListedTensor[] {
  const wanted = [experts, ...whole];
  if (tensor.shape.length !== 3 || wanted.some((size, i) => size !== tensor.shape[i]))
    throw new AttributionError(
      "mismatch",
      `Expected "${tensor.name}" to have the shape [${wanted.join(", ")}] that the configuration implies, but it has [${tensor.shape.join(", ")}]`,
    );
  const each = whole[0] / shape[0];
  const bytes = tensor.bytes / (experts * each);
  return Array.from({ length: experts * each }, (_, i) => ({
    ...tensor,
    name: nameOf(Math.floor(i / each), i % each),
    shape,
    offset: tensor.offset + i * bytes,
    bytes,
  }));
}
