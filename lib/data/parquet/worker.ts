// The thread that reads a Parquet file by hyparquet: a page is decompressed and decoded at once, which would hold the caller's
// event loop. Answers each message with the next rows, as JSON would hold them; `rows` is undefined at the end.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { AttributionError } from "../../errors";

export interface ParquetRequest {
  readonly path: string;
  /** Columns that are asked for by name; a name with dots may lead into a column. Absent for all. */
  readonly columns?: readonly string[];
}
export interface ParquetReply {
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
  readonly error?: { readonly code: AttributionError["code"]; readonly message: string };
}

const { path, columns } = workerData as ParquetRequest;
/** Rows and characters of one message: small enough that neither side is busy for long with one. */
const mostRows = 256;
const mostCharacters = 1 << 17;

const texts = new TextDecoder("utf-8", { fatal: true });

/** What JSON can hold; undefined for what is no text, number, list or record. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  if (value instanceof Uint8Array) return textOf(value);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, plain(entry)]));
}

/** Old writers do not say that a text is one. Bytes that are none, as those of images, are left out. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return texts.decode(bytes);
  } catch {
    return undefined;
  }
}

async function* readRows(): AsyncGenerator<Readonly<Record<string, unknown>>, undefined> {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const byteLength = fstatSync(descriptor).size;
    const slice = (start: number, end = byteLength): ArrayBuffer => bytesOf(descriptor, start, end);
    const file = { byteLength, slice };
    const metadata = await parquetMetadataAsync(file).catch((error: Error) => {
      throw new AttributionError(
        "corrupt",
        `${path} has no whole Parquet footer (${error.message}): it is cut off, or no Parquet file. Fetch it again`,
      );
    });
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    const wanted = columns && chosen(names, columns);
    const parsers = {
      stringFromBytes: (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : texts.decode(bytes)),
    };
    let first = 0;
    for (const [place, group] of metadata.row_groups.entries()) {
      const end = first + Number(group.num_rows);
      const asked = { file, metadata, compressors, parsers, utf8: false, rowStart: first, rowEnd: end };
      const rows = await parquetReadObjects({ ...asked, ...(wanted && { columns: wanted }) }).catch((error: Error) => {
        const code = /unsupported|not supported|Unsupported/.test(error.message) ? "unsupported" : "corrupt";
        throw new AttributionError(code, `${path}: row group ${place + 1} cannot be read (${error.message})`);
      });
      for (const row of rows) yield plain(row) as Readonly<Record<string, unknown>>;
      first = end;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The columns that hold what is asked for; all where none does, so that the caller's error can name what there is. */
function chosen(names: readonly string[], asked: readonly string[]): string[] | undefined {
  const found = new Set(asked.map((key) => (names.includes(key) ? key : key.split(".")[0])));
  const wanted = names.filter((name) => found.has(name));
  return wanted.length === 0 ? undefined : wanted;
}

function bytesOf(descriptor: number, start: number, end: number): ArrayBuffer {
  const bytes = new Uint8Array(end - start);
  for (let done = 0; done < bytes.length;) {
    const read = readSync(descriptor, bytes, done, bytes.length - done, start + done);
    if (read === 0) throw new Error("the file ends early");
    done += read;
  }
  return bytes.buffer;
}

const rows = readRows();

async function nextRows(): Promise<ParquetReply> {
  const batch: Readonly<Record<string, unknown>>[] = [];
  for (let characters = 0; batch.length < mostRows && characters < mostCharacters;) {
    const next = await rows.next();
    if (next.done === true) return batch.length === 0 ? {} : { rows: batch };
    batch.push(next.value);
    characters += lengthOf(next.value);
  }
  return { rows: batch };
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, entry) => sum + lengthOf(entry), 1);
}

parentPort?.on("message", () => {
  const refused = (error: Error): ParquetReply => ({
    error: { code: error instanceof AttributionError ? error.code : "corrupt", message: error.message },
  });
  void nextRows()
    .catch(refused)
    .then((reply) => parentPort!.postMessage(reply));
});
