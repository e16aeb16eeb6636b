// The benchmarks' runner, and each case once in small: that they run and agree, never how fast.
import { parseArguments } from "../../benchmarks/arguments";
import { gradientForwards } from "../../benchmarks/arithmetic";
import { atLeast, type Benchmark, type Measurement } from "../../benchmarks/benchmark";
import { measureAblation } from "../../benchmarks/cases/ablation";
import { measureBusy } from "../../benchmarks/cases/busy";
import { measureEkfac } from "../../benchmarks/cases/ekfac";
import { measureGradients } from "../../benchmarks/cases/integrated-gradients";
import { measureLissa, selectionsOf } from "../../benchmarks/cases/lissa";
import { measureCurves } from "../../benchmarks/cases/neuron-faithfulness";
import { relativeDifference, requireEqual } from "../../benchmarks/agreement";
import { benchmarks } from "../../benchmarks/catalogue";
import { withSection } from "../../benchmarks/readme";
import { openReference } from "../../benchmarks/reference";
import { asMarkdown, asText } from "../../benchmarks/result";
import { measure, run } from "../../benchmarks/run";
import { optTiny, pythiaTiny } from "../../benchmarks/shapes";
import { interleaved, schedule, spreadOf, timeRows } from "../../benchmarks/timing";
import { describeNeeding, testNeeding, torch, variables } from "../needs";

const quiet = { quick: true, log: () => undefined };
const names = ["one", "two"];

/** Two contenders of known seconds. */
const known: Benchmark = {
  name: "known",
  title: "seconds that are known",
  run: async ({ log }): Promise<Measurement> => {
    const contenders = [
      { name: "ours", run: () => Promise.resolve(2) },
      { name: "theirs", run: () => Promise.resolve(3), scale: 10, note: "extrapolated" },
    ];
    const rows = timeRows("group", contenders, await interleaved(contenders, 3, log));
    return {
      rows,
      ratio: 15,
      unit: "faster",
      bars: [atLeast("ratio", 15, 10)],
      notes: ["A note"],
      versions: { other: "1" },
    };
  },
};

describe("the command line", () => {
  test("names a case and flags in any order", () => {
    expect(parseArguments(["--json", "two", "--quick"], names)).toEqual({
      name: "two",
      json: true,
      quick: true,
      write: false,
    });
    expect(parseArguments([], names)).toEqual({ name: undefined, json: false, quick: false, write: false });
  });

  test.each([
    [["three"], "unknown", /"three".*one, two/],
    [["one", "--fast"], "unknown", /"--fast"/],
    [["one", "two"], "invalid", /one case at a time/],
    [["one", "--quick", "--write"], "invalid", /--quick/],
    [["--write"], "missing", /--write/],
  ])("refuses %j as %s", (given, code, message) => {
    expect(() => parseArguments(given, names)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test("alone lists every case", async () => {
    const lines: string[] = [];
    expect(await run([], benchmarks, (text) => lines.push(text))).toBe(0);
    for (const { name, title } of benchmarks)
      expect(lines.join("\n")).toMatch(new RegExp(`${name} +${title.slice(0, 20)}`));
  });

  test("an unknown case ends with code 1 and a message", async () => {
    const write = jest.spyOn(process.stderr, "write").mockReturnValue(true);
    const lines: string[] = [];
    const code = await run(["no-such-case"], benchmarks, (text) => lines.push(text));
    const message = write.mock.calls.join("");
    write.mockRestore();
    expect([code, lines]).toEqual([1, []]);
    expect(message).toContain('Unknown case "no-such-case"');
  });

  test("with --json the last line is one object", async () => {
    const write = jest.spyOn(process.stderr, "write").mockReturnValue(true);
    const lines: string[] = [];
    const code = await run(["known", "--json"], [known], (text) => lines.push(...text.split("\n")));
    write.mockRestore();
    expect(code).toBe(0);
    const result = JSON.parse(lines.at(-1)!);
    expect(result).toMatchObject({
      case: "known",
      ratio: 15,
      unit: "faster",
      hardware: { cores: expect.any(Number) },
      versions: { other: "1", libtorch: expect.any(String) },
    });
    expect(result.rows[1]).toEqual({
      group: "group",
      name: "theirs",
      unit: "s",
      median: 30,
      min: 30,
      max: 30,
      repeats: 3,
      timesOurs: 15,
      note: "extrapolated",
    });
  });
});

describe("timing", () => {
  test("contenders alternate, and one with fewer repeats is spread over the rounds", () => {
    expect(schedule([{}, {}], 3)).toEqual([0, 1, 1, 0, 0, 1]);
    expect(schedule([{}, { repeats: 2 }], 4)).toEqual([0, 1, 0, 0, 1, 0]);
    expect(schedule([{}, { repeats: 9 }], 2)).toEqual([0, 1, 1, 0]);
  });

  test("the median lies between the least and the largest", () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, repeats: 3 });
    expect(spreadOf([4, 1])).toEqual({ median: 2.5, min: 1, max: 4, repeats: 2 });
  });
});

describe("the result", () => {
  test("as text and as Markdown has every row, bar and note", async () => {
    const result = await measure(known, quiet);
    for (const text of [asText(result), asMarkdown(result, "2026-01-01")]) {
      for (const part of ["ours", "theirs", "30", "holds: ratio: 15 (bar ≥ 10)", "A note", "extrapolated"])
        expect(text).toContain(part);
    }
  });

  test("replaces its own section of the README only", () => {
    const readme = "a\n<!-- bench x -->\nold\n<!-- /bench x -->\nb\n<!-- bench y -->\nkept\n<!-- /bench y -->\n";
    const written = withSection(readme, "x", "new");
    expect(written).toBe(readme.replace("old", "new"));
    expect(withSection(written, "x", "new")).toBe(written);
    expect(() => withSection(readme, "z", "new")).toThrow(expect.objectContaining({ code: "missing" }));
  });
});

describe("agreement", () => {
  test("is relative to the largest of the reference", () => {
    expect(relativeDifference([1, 2], [1, 4])).toBe(0.5);
    expect(() => requireEqual("scores", [1, 2], [1, 4], 0.1)).toThrow(/differ by 5.0e-1/);
    expect(() => requireEqual("scores", [Number.NaN], [1], 0.1)).toThrow(expect.objectContaining({ code: "mismatch" }));
  });
});

test("integrated gradients' arithmetic counts a forward and the rows above each layer twice", () => {
  // Blocks of 1 × 1 matrices with no attention: work is tokens × layers. 3 layers: 0 + 1 + 2 blocks above, 4 nodes, forward and backward.
  const architecture = {
    layers: 3,
    hidden: 1,
    heads: 0,
    headSize: 0,
    keyValueHeads: 0,
    intermediate: 1,
    gated: false,
  } as never;
  expect(gradientForwards(architecture, 12, 4)).toBeCloseTo(1 + (2 * 4 * 3) / (3 * 12));
});

test("a reference that cannot start is refused in words", async () => {
  await expect(openReference("neurons.py", { interpreter: "/no/such/python" })).rejects.toMatchObject({
    code: "missing",
    message: expect.stringContaining("ATTRIBUTION_PYTHON"),
  });
});

describeNeeding(torch(), "a tiny case agrees with PyTorch and has a row for each contender", () => {
  test("integrated-gradients", async () => {
    const settings = {
      shape: optTiny,
      lengths: [{ tokens: 9, repeats: 1, layers: [0, 1, 2] }],
      rounds: 2,
      nodes: 5,
      budgets: [],
      peers: false,
    };
    const { rows, notes, versions } = await measureGradients(settings, quiet);
    expect(rows.map(({ name }) => name.slice(0, 3))).toEqual(["(c)", "(d)", "one", "(a)", "(b)"]);
    expect(rows.every(({ median }) => median > 0)).toBe(true);
    expect(Number(/within (\S+) of/.exec(notes.join())![1])).toBeLessThan(1e-5);
    expect(versions).toHaveProperty("transformers");
  });

  test("neuron-faithfulness", async () => {
    const { rows, ratio } = await measureCurves(
      { shape: optTiny, lengths: [{ tokens: 9, repeats: 1 }], sizes: [1, 5], controls: 2, rounds: 1, budgets: [] },
      quiet,
    );
    expect(rows).toHaveLength(4);
    expect(ratio).toBeGreaterThan(0);
  });

  test("lissa", async () => {
    const settings = {
      shape: optTiny,
      queries: 2,
      recursions: 4,
      selections: selectionsOf(3, 16, { cached: 4, full: 2 }),
      sample: 1,
      rounds: 1,
    };
    const { rows, notes } = await measureLissa(settings, quiet); // which refuses scores that differ from the reference's
    expect(rows).toHaveLength(9);
    expect(rows.every(({ median }) => median > 0)).toBe(true);
    expect(notes).toHaveLength(4);
  });

  test("ablation", async () => {
    const { rows, bars } = await measureAblation(
      { shape: optTiny, tokens: 9, sample: 5, rounds: 1, repeats: 1 },
      quiet,
    );
    expect(rows).toHaveLength(4);
    expect(bars[1]).toMatchObject({ holds: true });
  });
});

testNeeding(variables("ATTRIBUTION_KRONFLUENCE_PYTHON"), "a tiny ekfac case correlates with kronfluence", async () => {
  const { rows, bars } = await measureEkfac(
    {
      shape: { ...pythiaTiny, num_hidden_layers: 2 },
      train: 64,
      queries: 4,
      tokens: 12,
      batch: 16,
      rounds: 1,
      large: undefined,
    },
    quiet,
  );
  expect(rows).toHaveLength(4);
  expect(bars[1].value).toBeGreaterThan(0.999);
});

test("busy compares the default with the best setting, alone and beside loops", async () => {
  const secondsOf: Record<string, number> = { "{}": 3, '{"ATTRIBUTION_THREADS":"1"}': 2 };
  const { rows, bars, ratio } = await measureBusy(
    {
      large: optTiny,
      small: optTiny,
      rounds: 2,
      repeats: 1,
      loops: 1,
      run: async (_, settings) => [secondsOf[JSON.stringify(settings)] ?? 4],
    },
    quiet,
  );
  expect(rows.slice(0, 4).map(({ median, repeats, timesOurs }) => [median, repeats, timesOurs])).toEqual([
    [3, 2, 1],
    [2, 2, 2 / 3],
    [4, 2, 4 / 3],
    [4, 2, 4 / 3],
  ]);
  expect(bars.map(({ value, wanted, holds }) => [value, wanted, holds]).slice(0, 2)).toEqual([
    [1.5, "≤ 1.1", false],
    [1.5, "≤ 1.5", true],
  ]);
  expect(bars).toHaveLength(12);
  expect(ratio).toBe(1.5);
});
