// Rows of a Parquet file, read in a worker thread. Columns of lists and records come as JSON would hold them.
import type { Worker } from "node:worker_threads";
import { AttributionError } from "../../errors";
import { requireFile } from "../read-bytes";
import { startWorker } from "../start-worker";
import type { ParquetReply, ParquetRequest } from "./worker";

export interface ParquetRow {
  readonly value: Readonly<Record<string, unknown>>;
  /** The row's place in the file, from 1. */
  readonly line: number;
}

const resourceLimits = { maxOldGenerationSizeMb: 4096 };

/** `columns`: only those that these names are of. */
export async function* readParquet(
  path: string,
  columns: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<ParquetRow> {
  await requireFile(path);
  const workerData: ParquetRequest = { path, ...(columns && { columns }) };
  const worker = startWorker(__dirname, "worker", { resourceLimits, workerData });
  let line = 1;
  try {
    for (;;) {
      const { rows, error } = await answerOf(worker, path, signal);
      if (error !== undefined) throw new AttributionError(error.code, error.message);
      if (rows === undefined) return;
      for (const value of rows) yield { value, line: line++ };
    }
  } finally {
    await worker.terminate();
  }
}

function answerOf(worker: Worker, path: string, signal: AbortSignal | undefined): Promise<ParquetReply> {
  return new Promise<ParquetReply>((resolve, reject) => {
    const settle = (work: () => void): void => {
      signal?.removeEventListener("abort", stop);
      work();
    };
    const failed = (cause: unknown): void => settle(() => reject(failure(path, cause)));
    const stop = (): void => settle(() => reject(aborted(signal)));
    worker.removeAllListeners();
    worker.once("message", (reply: ParquetReply) => settle(() => resolve(reply)));
    worker.once("error", failed);
    worker.once("exit", failed);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    else worker.postMessage(0);
  });
}

const aborted = (signal: AbortSignal | undefined): AttributionError =>
  new AttributionError("aborted", "The call was aborted", { cause: signal?.reason });

function failure(path: string, cause: unknown): AttributionError {
  const isFull = (cause as { code?: string } | null)?.code === "ERR_WORKER_OUT_OF_MEMORY";
  const words = isFull
    ? "one of its row groups does not fit into 4 GB. Write it with smaller row groups"
    : String(cause);
  return new AttributionError(isFull ? "memory" : "native", `Cannot read ${path}: ${words}`, { cause });
}
