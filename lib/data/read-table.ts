// Rows of a table with a header. CSV as RFC 4180 has it (quotes, doubled quotes, line breaks inside quotes); the TSV of
// MultiNLI, GLUE, SNLI and HANS, where a quote is a character like any other.
import { corruptAt, type Line, longestRecord, readLines, readPieces } from "./read-text";

export interface TableRow {
  readonly value: Readonly<Record<string, string>>;
  readonly line: number;
}
export interface Cells {
  readonly cells: readonly string[];
  readonly line: number;
}

/** TSV without quoting; every row has as many cells as the header, but for single annotators' labels (label1 … label5) at its end. */
export async function* readTabbed(path: string): AsyncGenerator<TableRow> {
  let columns: readonly string[] | undefined;
  for await (const line of readLines(path)) {
    const cells = cellsOf(line);
    if (columns === undefined) columns = uniqueColumns(path, cells);
    else if (line.text.trim() !== "") {
      const missing = columns.slice(cells.length).find((column) => !/^label\d$/.test(column));
      if (missing !== undefined) throw corruptAt(path, line.number, `ends before its column "${missing}"`);
      yield named(path, columns, { cells, line: line.number });
    }
  }
}

export function cellsOf(line: Line): string[] {
  return line.text.split("\t");
}

/** CSV with quoting; every row has as many cells as the header. */
export async function* readDelimited(path: string, delimiter: string): AsyncGenerator<TableRow> {
  let columns: readonly string[] | undefined;
  for await (const row of readCells(path, delimiter)) {
    if (row.cells.length === 1 && row.cells[0] === "") continue;
    if (columns === undefined) columns = uniqueColumns(path, row.cells);
    else if (row.cells.length !== columns.length) {
      throw corruptAt(path, row.line, `has ${row.cells.length} cells but the header has ${columns.length} columns`);
    } else yield named(path, columns, row);
  }
}

function named(path: string, columns: readonly string[], { cells, line }: Cells): TableRow {
  if (cells.length > columns.length)
    throw corruptAt(path, line, `has ${cells.length} cells but the header has ${columns.length} columns`);
  return { value: Object.fromEntries(cells.map((cell, column) => [columns[column], cell])), line };
}

function uniqueColumns(path: string, cells: readonly string[]): readonly string[] {
  const columns = cells.map((cell) => cell.trim());
  const twice = columns.find((name, column) => columns.indexOf(name) !== column);
  if (twice !== undefined) throw corruptAt(path, 1, `names the column "${twice}" twice`);
  return columns;
}

async function* readCells(path: string, delimiter: string): AsyncGenerator<Cells> {
  const scan = cellScanner(path, delimiter);
  for await (const piece of readPieces(path)) yield* scan.rows(piece);
  yield* scan.end();
}

type Place = "start" | "plain" | "quoted" | "closed";

/** A state machine over characters: at a cell's start, in a plain cell, within quotes, after a quote that may close them. */
function cellScanner(
  path: string,
  delimiter: string,
): { rows(piece: string): Generator<Cells>; end(): Generator<Cells> } {
  let place: Place = "start";
  let [cell, line, startLine] = ["", 1, 1];
  let cells: string[] = [];

  const endCell = (): void => {
    cells.push(place === "plain" && cell.endsWith("\r") ? cell.slice(0, -1) : cell);
    [cell, place] = ["", "start"];
  };
  const endRow = (): Cells => {
    endCell();
    const row = { cells, line: startLine };
    [cells, startLine] = [[], line + 1];
    return row;
  };
  const plain = (character: string): void => {
    if (place === "plain" && cell.endsWith("\r"))
      throw corruptAt(
        path,
        line,
        "has a carriage return without a line feed; save the file with line feeds (\\n or \\r\\n)",
      );
    if (place === "start" && character === '"') place = "quoted";
    else if (place !== "closed") [cell, place] = [cell + character, "plain"];
    else if (character === '"') [cell, place] = [`${cell}"`, "quoted"];
    else if (character !== "\r")
      throw corruptAt(
        path,
        line,
        `has ${JSON.stringify(character)} after a closing quote; double a quote that belongs to the text`,
      );
  };
  function* rows(piece: string): Generator<Cells> {
    for (const character of piece) {
      if (place === "quoted") [cell, place] = character === '"' ? [cell, "closed"] : [cell + character, "quoted"];
      else if (character === delimiter) endCell();
      else if (character === "\n") yield endRow();
      else plain(character);
      if (character === "\n") line++;
    }
    if (cell.length > longestRecord)
      throw corruptAt(path, startLine, `has a cell of more than ${longestRecord} characters; is a quote left open?`);
  }
  function* end(): Generator<Cells> {
    if (place === "quoted") throw corruptAt(path, startLine, "opens a quote that is never closed");
    if (cells.length > 0 || cell !== "" || place !== "start") yield endRow();
  }
  return { rows, end };
}
