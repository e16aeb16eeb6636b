// Typed arrays in safetensors files: how results are stored. For checkpoints see safetensors.ts.
import { AttributionError } from "../errors";
import { withFile, writeBeside } from "./files";
import { corrupt, elementsOf } from "./listing";
import { readSafetensorsContents, safetensorsHeader } from "./safetensors";

export type TensorData = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface Tensor {
  readonly data: TensorData;
  /** Sizes, outermost first; their product is the array's length. */
  readonly shape: readonly number[];
}

const arrays = new Map<string, { new (buffer: ArrayBuffer): TensorData; readonly name: string }>([
  ["F64", Float64Array],
  ["F32", Float32Array],
  ["I32", Int32Array],
  ["U8", Uint8Array],
]);

/** By name, not by class: arrays of another realm are arrays too. */
function typeOf(name: string, data: TensorData): string {
  for (const [dtype, array] of arrays) {
    if (Object.prototype.toString.call(data) === `[object ${array.name}]`) return dtype;
  }
  throw new AttributionError(
    "invalid",
    `Expected "${name}" to be a Float32Array, Float64Array, Int32Array or Uint8Array`,
  );
}

/** Writes named arrays beside `path` and renames: the file is whole or absent. */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const entries = Object.entries(tensors).map(([name, { data, shape }]) => {
    if (elementsOf(shape) !== data.length) {
      throw new AttributionError(
        "invalid",
        `Expected "${name}" to have ${elementsOf(shape)} values for [${shape.join(", ")}] but received ${data.length}`,
      );
    }
    return { name, dtype: typeOf(name, data), shape };
  });
  const bytes = Object.values(tensors).map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  await writeBeside(path, [safetensorsHeader(entries, metadata), ...bytes]);
}

function newArray(path: string, name: string, bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    throw new AttributionError("memory", `${path}: "${name}" has ${bytes} bytes, more than can be held`, { cause });
  }
}

/** Reads every array of a file that `writeSafetensors` wrote (or any safetensors file of these four types). */
export async function readTensors(
  path: string,
): Promise<{ tensors: Record<string, Tensor>; metadata: Readonly<Record<string, string>> }> {
  const { tensors: listed, metadata } = await readSafetensorsContents(path);
  const tensors: Record<string, Tensor> = Object.create(null) as Record<string, Tensor>;
  await withFile(path, async (file) => {
    for (const { name, dtype, shape, offset, bytes } of listed) {
      const array = arrays.get(dtype);
      if (array === undefined)
        throw corrupt(path, `"${name}" has the type ${dtype}; expected one of ${[...arrays.keys()].join(", ")}`);
      const target = newArray(path, name, bytes);
      await file.readInto(new Uint8Array(target), offset);
      tensors[name] = { data: new array(target), shape };
    }
  });
  return { tensors, metadata };
}
