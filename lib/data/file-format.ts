// What a data file's name says of its form.
import { extname } from "node:path";

/** The form of one's own data by a file's name, with or without the ending of a compression. */
export function formatOfFile(path: string): "jsonl" | "csv" | "parquet" {
  const ending = extname(withoutCompression(path)).toLowerCase();
  if (ending === ".parquet") return "parquet";
  return ending === ".csv" || ending === ".tsv" ? "csv" : "jsonl";
}

/** Whether the name is that of a table with tabs. */
export const isTabbed = (path: string): boolean => withoutCompression(path).toLowerCase().endsWith(".tsv");

const withoutCompression = (path: string): string => path.replace(/\.(gz|zst)$/i, "");
