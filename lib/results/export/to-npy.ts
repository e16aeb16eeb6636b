// One array of a result as a NumPy file (format 1.0).
import { AttributionError, expected, shown } from "../../errors";
import { onlyKnown, pathOf, text } from "../../options";
import { pacedBy } from "../../pacing";
import { fillBeside } from "../../storage/files";
import type { CallOptions } from "../../../types/common";
import type { TensorData } from "../../storage/tensors";
import { shapeOf } from "../layout";

export interface NpyOptions extends CallOptions {
  /** The field of the result that is written. @default "scores" */
  readonly array?: string;
}

const types: Readonly<Record<string, string>> = {
  Float32Array: "<f4",
  Float64Array: "<f8",
  Int32Array: "<i4",
  Uint8Array: "|u1",
};
const bytesAtOnce = 1 << 22;

/**
 * Writes an array of a result, by default its scores, with the shape that its axes give it: [query, train], or [instance, layer,
 * unit]. The file is whole or absent, and bit for bit the numbers. "unknown" where the result has no such array. Cost: the disk.
 * @example await toNpy(influences, "scores.npy"); // numpy.load("scores.npy")
 */
export async function toNpy(result: object, path: string, options: NpyOptions = {}): Promise<void> {
  const name = text(onlyKnown(options, ["array", "signal", "onProgress"]), "array", "scores");
  pathOf("path", "a file's path", path);
  const data = arrayOf(result, name);
  const shape = shapeOf(result, name, data.length);
  const pace = pacedBy(options.signal);
  await fillBeside(path, async (file) => {
    await file.write(headerOf(data, shape));
    for (let begin = 0; begin < data.byteLength; begin += bytesAtOnce) {
      const length = Math.min(bytesAtOnce, data.byteLength - begin);
      await file.write(new Uint8Array(data.buffer, data.byteOffset + begin, length));
      await pace();
      options.onProgress?.({ done: begin + length, total: data.byteLength, stage: "NumPy" });
    }
  });
}

function arrayOf(result: unknown, name: string): TensorData {
  if (typeof result !== "object" || result === null) throw expected("result", "a result with arrays", result);
  const isArray = (value: unknown): value is TensorData => typeTag(value) in types;
  const found = (result as Readonly<Record<string, unknown>>)[name];
  if (isArray(found)) return found;
  const names = Object.entries(result).flatMap(([key, value]) => (isArray(value) ? [`"${key}"`] : []));
  throw new AttributionError(
    "unknown",
    `The result has no array ${shown(name)}; it has ${names.length === 0 ? "none" : names.join(", ")}`,
  );
}

const typeTag = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** Magic, version, length, and a Python dictionary padded so that the numbers begin at a multiple of 64 bytes. */
function headerOf(data: TensorData, shape: readonly number[]): Buffer {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dictionary = `{'descr': '${types[typeTag(data)]}', 'fortran_order': False, 'shape': (${axes}), }`;
  const length = Math.ceil((10 + dictionary.length + 1) / 64) * 64 - 10;
  const size = Buffer.alloc(2);
  size.writeUInt16LE(length);
  const padded = `${dictionary.padEnd(length - 1)}\n`;
  return Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), size, Buffer.from(padded, "latin1")]);
}
