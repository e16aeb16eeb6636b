// A result as plain JSON, written in slices.
import { AttributionError, shown } from "../../errors";
import { onlyKnown, pathOf } from "../../options";
import { pacedBy } from "../../pacing";
import { fillBeside } from "../../storage/files";
import type { CallOptions } from "../../../types/common";
import { shapeOf } from "../layout";
import { requireResult } from "../require";

const deepest = 32;
const numbersAtOnce = 2048;
const charactersAtOnce = 1 << 18;

/**
 * Writes any result as one JSON value with its provenance, for readers other than this library (`save` and `load` are its own).
 * Arrays of numbers become lists, nested by their axes: scores [query, train] are a list of lists. JSON has no NaN and no infinity:
 * they are null. The file is whole or absent. Cost: about 0.3 µs per number.
 * @example await toJson(await sufficiency(model, queries, na), "sufficiency.json");
 */
export async function toJson(result: unknown, path: string, options: CallOptions = {}): Promise<void> {
  onlyKnown(options, ["signal", "onProgress"]);
  pathOf("path", "a file's path", path);
  requireResult(result, "result");
  const pace = pacedBy(options.signal);
  await fillBeside(path, async (file) => {
    let text = "";
    for (const piece of piecesOf(result)) {
      text += piece;
      if (text.length >= charactersAtOnce) {
        await file.write(text);
        text = "";
      }
      await pace();
    }
    await file.write(`${text}\n`);
  });
}

function* piecesOf(value: object): Generator<string> {
  const shapes = new Map(
    Object.entries(value).flatMap(([name, entry]): [unknown, number[]][] =>
      isNumbers(entry) ? [[entry, shapeOf(value, name, entry.length)]] : [],
    ),
  );

  function* at(item: unknown, where: string, depth: number): Generator<string> {
    if (depth > deepest) throw new AttributionError("invalid", `The result is nested too deeply at "${where}"`);
    if (typeof item === "number") yield numberText(item);
    else if (item === null || typeof item === "string" || typeof item === "boolean") yield JSON.stringify(item);
    else if (isNumbers(item)) yield* nested(item, shapes.get(item) ?? [item.length], 0, item.length);
    else if (Array.isArray(item)) yield* list(item, where, depth);
    else if (Object.prototype.toString.call(item) === "[object Object]") yield* fields(item as object, where, depth);
    else throw new AttributionError("invalid", `Expected plain data at "${where}" but received ${shown(item)}`);
  }

  function* list(items: readonly unknown[], where: string, depth: number): Generator<string> {
    yield "[";
    for (const [index, item] of items.entries()) {
      if (index > 0) yield ",";
      yield* at(item, `${where}[${index}]`, depth + 1);
    }
    yield "]";
  }

  function* fields(item: object, where: string, depth: number): Generator<string> {
    yield "{";
    let isFirst = true;
    for (const [name, entry] of Object.entries(item) as [string, unknown][]) {
      if (entry === undefined) continue;
      yield `${isFirst ? "" : ","}${JSON.stringify(name)}:`;
      yield* at(entry, where === "" ? name : `${where}.${name}`, depth + 1);
      isFirst = false;
    }
    yield "}";
  }

  yield* at(value, "", 0);
}

/** The numbers begin … end as lists by shape, outermost axis first. */
function* nested(numbers: Numbers, [size, ...inner]: readonly number[], begin: number, end: number): Generator<string> {
  yield "[";
  if (inner.length === 0) {
    for (let from = begin; from < end; from += numbersAtOnce) {
      const slice = Array.from(numbers.subarray(from, Math.min(end, from + numbersAtOnce)), textIn(numbers));
      yield `${from > begin ? "," : ""}${slice.join(",")}`;
    }
  } else {
    const each = (end - begin) / Math.max(1, size);
    for (let index = 0; index < size; index++) {
      if (index > 0) yield ",";
      yield* nested(numbers, inner, begin + index * each, begin + (index + 1) * each);
    }
  }
  yield "]";
}

type Numbers = Float32Array | Float64Array | Int32Array | Uint8Array;

function isNumbers(value: unknown): value is Numbers {
  return ArrayBuffer.isView(value) && "subarray" in value;
}

/** Nine digits tell all float32 numbers apart. */
function textIn(numbers: Numbers): (value: number) => string {
  const isSingle = Object.prototype.toString.call(numbers) === "[object Float32Array]";
  return isSingle ? (value) => numberText(Number(value.toPrecision(9))) : numberText;
}

function numberText(value: number): string {
  return Number.isFinite(value) ? String(value) : "null";
}
