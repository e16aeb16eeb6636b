// The cases of patching, joint attribution and unit influence once in small: that they run and say what they should, never how fast.
import { measurePatching } from "../../benchmarks/cases/attribution-patching";
import { measureJoint } from "../../benchmarks/cases/joint";
import { measureUnits } from "../../benchmarks/cases/unit-influence";
import { pythiaTiny } from "../../benchmarks/shapes";

const quiet = { quick: true, log: () => undefined };

test("attribution-patching has each rule of each model, and RelP's bars", async () => {
  const { table, bars } = await measurePatching(
    { sentences: 200, pairs: 4, epochs: 2, layers: 2, hidden: 16, seed: 1 },
    quiet,
  );
  expect(table!.rows.map(([model, rule]) => `${model}, ${rule}`)).toHaveLength(10);
  expect(bars).toHaveLength(2);
  for (const [, , neurons] of table!.rows) expect(neurons).toMatch(/^-?\d\.\d{3} \(/);
});

test("joint has both groups side by side", async () => {
  const { rows, bars } = await measureJoint({ shape: pythiaTiny, train: 6, queries: 2, topK: 3, rounds: 2 }, quiet);
  expect(rows.map(({ group, repeats }) => [group, repeats])).toEqual([
    ["2 × best 3 of 6", 2],
    ["2 × best 3 of 6", 2],
    ["2 × 6", 2],
    ["2 × 6", 2],
  ]);
  expect(bars.map(({ wanted }) => wanted)).toEqual(["≤ 1.3", "≤ 2"]);
});

test("unit-influence has a row for each quantity, change, share and attribution", async () => {
  const text = Array.from({ length: 4000 }, (_, i) => "the cat sat on a mat. "[(i * i + 3 * i) % 22]).join("");
  const settings = { hidden: 16, layers: 1, heads: 2, length: 24, background: 24, train: 20, queries: 3 };
  const { table, bars } = await measureUnits(
    { ...settings, backgroundEpochs: 1, epochs: 1, fractions: [0.1], seeds: [1], controls: 1 },
    text,
    quiet,
  );
  expect(table!.rows).toHaveLength(2 * 2 * 3);
  expect(bars).toHaveLength(4);
});
