// A tensor of a PyTorch file as a place in the file.
import { corrupt, elementBytes, elementsOf, type ListedTensor } from "./listing";
import type { PickledTensor } from "./pickle-machine";

/** The bytes of a stored storage. */
export interface StoredStorage {
  readonly start: number;
  readonly bytes: number;
}

/**
 * The tensor within its storage; "corrupt" where it goes beyond. One with gaps, repeated elements or another order is listed
 * with its strides as a part of its type, so that it is refused by name where it is a weight, and nowhere else.
 */
export function placedTensor(
  path: string,
  name: string,
  tensor: PickledTensor,
  { start, bytes }: StoredStorage,
): ListedTensor {
  const { storage, shape, strides } = tensor;
  const size = elementBytes.get(storage.dtype) as number;
  const elements = elementsOf(shape);
  const last = shape.includes(0) ? 0 : shape.reduce((sum, count, i) => sum + (count - 1) * strides[i], 1);
  if (elements === undefined || storage.elements * size > bytes || (tensor.offset + last) * size > bytes)
    throw corrupt(path, `"${name}" ([${shape.join(", ")}]) goes beyond its storage`);
  const dtype = isContiguous(tensor) ? storage.dtype : `${storage.dtype} with strides [${strides.join(", ")}]`;
  return { name, dtype, shape, file: path, offset: start + tensor.offset * size, bytes: last * size };
}

/** Row-major without gaps; the stride of a size of one does not matter. */
function isContiguous({ shape, strides }: PickledTensor): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return shape.includes(0);
    expected *= shape[i];
  }
  return true;
}
