// The CSV reader against csv-parse on random texts. The reader is not csv-parse itself: that one cannot take a quote within a plain
// cell as a character and refuse one behind a closing quote in the same file.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CsvError, parse } from "csv-parse/sync";
import { readDelimited } from "../../lib/data/read-table";
import { AttributionError } from "../../lib/errors";
import { createRandom } from "../../lib/random";

const directory = mkdtempSync(join(tmpdir(), "attribution-csv-"));
afterAll(() => rmSync(directory, { recursive: true }));

async function ours(path: string): Promise<unknown> {
  const rows: unknown[] = [];
  try {
    for await (const { value } of readDelimited(path, ",")) rows.push({ ...value });
    return rows;
  } catch (error) {
    if (error instanceof AttributionError) return "refused";
    throw error;
  }
}

function theirs(text: string): unknown {
  try {
    return parse(text, { columns: true, bom: true, skip_empty_lines: true, record_delimiter: ["\n", "\r\n"] });
  } catch (error) {
    return (error as CsvError).code === "INVALID_OPENING_QUOTE" ? "quote in a plain cell" : "refused";
  }
}

test("reads what csv-parse reads, and refuses what it refuses but a quote within a plain cell", async () => {
  const { below } = createRandom(7);
  const pieces = ["a", "é", " ", ",", ",", '"', '""', "\n", "\r\n", '"x,\ny"', "b,c\n", '"d","e"\n'];
  const path = join(directory, "random.csv");
  let [read, refused] = [0, 0];
  for (let round = 0; round < 400; round++) {
    const body = Array.from({ length: 1 + below(9) }, () => pieces[below(pieces.length)]).join("");
    if (/^""\r?$/m.test(body)) continue; // we take a line of one empty cell for an empty line
    const text = `one,two\n${body}`;
    const wanted = theirs(text);
    writeFileSync(path, text);
    const found = await ours(path);
    if (wanted === "quote in a plain cell") continue;
    expect([text, found]).toEqual([text, wanted]);
    if (wanted === "refused") refused++;
    else read++;
  }
  expect(read).toBeGreaterThan(50);
  expect(refused).toBeGreaterThan(50);
});
