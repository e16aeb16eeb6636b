// A result as a Parquet file. A worker thread encodes the row groups with hyparquet-writer; this one makes the cells and writes.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { AttributionError } from "../../errors";
import { onlyKnown, pathOf } from "../../options";
import { everyRow } from "../../pacing";
import { fillBeside } from "../../storage/files";
import type { CallOptions } from "../../../types/common";
import { type Cell, type Column, tableOf } from "./table";

/** Rows of a row group; as messages to the worker they take some milliseconds. */
const rowsAtOnce = 16_384;

const types = {
  int32: "INT32",
  float32: "FLOAT",
  float64: "DOUBLE",
  string: "STRING",
  boolean: "BOOLEAN",
} as const;

/** Takes the columns of a row group, or null at the end, and answers the bytes of the file that they make. */
const encoder = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData.library).then(({ ByteWriter, ParquetWriter, schemaFromColumnData }) => {
  const bytes = new ByteWriter();
  const schema = schemaFromColumnData({ columnData: workerData.columns });
  const writer = new ParquetWriter({ writer: bytes, schema, createdBy: "attribution" });
  parentPort.on("message", (columnData) => {
    if (columnData === null) writer.finish();
    else writer.write({ columnData, rowGroupSize: ${rowsAtOnce} });
    const part = bytes.getBytes().slice();
    bytes.index = 0; // bytes.offset goes on counting
    parentPort.postMessage(part, [part.buffer]);
  });
});`;

/**
 * Writes a result as a Parquet file with the columns of `toCsv`, compressed by Snappy, for pandas, polars and DuckDB. All columns
 * are required; NaN and infinities are themselves. The file is whole or absent. Cost: about 1 µs per cell, half of it in a worker
 * thread.
 * @example await toParquet(influences, "influences.parquet"); // pandas.read_parquet("influences.parquet")
 */
export async function toParquet(result: unknown, path: string, options: CallOptions = {}): Promise<void> {
  onlyKnown(options, ["signal", "onProgress"]);
  pathOf("path", "a file's path", path);
  const { rows, columns } = tableOf(result);
  await fillBeside(path, async (file) => {
    const worker = encoderOf(columns);
    try {
      for (let first = 0; first < rows; first += rowsAtOnce) {
        const count = Math.min(rowsAtOnce, rows - first);
        const columnData = columns.map(({ name }) => ({ name, data: new Array<Cell>(count) }));
        await everyRow(count, "Parquet", { signal: options.signal }, (row) => {
          for (let at = 0; at < columns.length; at++) columnData[at].data[row] = columns[at].at(first + row);
        });
        await file.write(await answerOf(worker, columnData));
        options.onProgress?.({ done: first + count, total: rows, stage: "Parquet" });
      }
      await file.write(await answerOf(worker, null));
    } finally {
      await worker.terminate();
    }
  });
}

function encoderOf(columns: readonly Column[]): Worker {
  const library = pathToFileURL(createRequire(__filename).resolve("hyparquet-writer")).href;
  const described = columns.map(({ name, type }) => ({ name, type: types[type], data: [], nullable: false }));
  return new Worker(encoder, { eval: true, execArgv: [], workerData: { library, columns: described } });
}

/** Sends a message and waits for the bytes; what goes wrong in the worker is the call's error. */
function answerOf(worker: Worker, message: readonly { readonly name: string; readonly data: Cell[] }[] | null) {
  return new Promise<Uint8Array>((resolve, reject) => {
    const failed = (cause: unknown): void =>
      reject(new AttributionError("native", `The Parquet encoder failed: ${String(cause)}`, { cause }));
    worker.removeAllListeners();
    worker.once("message", resolve);
    worker.once("error", failed);
    worker.once("exit", failed);
    worker.postMessage(message);
  });
}
