import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatNumber } from "../../lib/report/format";
import { escaped, html } from "../../lib/report/html";
import { renderReport, writeReport } from "../../lib/report/render";
import { niceStep, scaleOf } from "../../lib/report/scale";
import { sampleReport } from "./sample-report";
import { rejects } from "../results/refuses";
import type { LinePlot, Report, ReportBlock } from "../../types/report";

const hostile = `<script>alert("1")</script>&'`;
const reportOf = (...blocks: ReportBlock[]): Report => ({
  title: "t",
  summary: "s",
  facts: [],
  sections: [{ title: "x", explanation: "e", blocks }],
});

describe("a report", () => {
  const page = renderReport(sampleReport);

  test("is one page without script, links outwards or anything to fetch", () => {
    expect(page).toMatch(/^<!DOCTYPE html>/);
    expect(page).toContain(`default-src 'none'`);
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|https?:|src=/i);
  });

  test("is the same page for the same report", () => expect(renderReport(sampleReport)).toBe(page));

  test("with a part that is not as it must be is refused by the part's path", () => {
    const cards = (words: unknown) =>
      reportOf({
        kind: "instances",
        cards: [
          {
            id: "q",
            text: "q",
            prediction: { label: "x" },
            neurons: [],
            instances: [{ method: "m", entries: [{ id: "z", text: "z", score: 1, words }] }],
          },
        ],
      } as never);
    expect(renderReport(cards([{ text: "z", score: 1 }]))).toContain("z");
    for (const [words, path] of [
      [5, "words"],
      [[{ text: "z" }], "words[0].score"],
    ] as const) {
      expect(() => renderReport(cards(words))).toThrow(
        expect.objectContaining({
          code: "invalid",
          message: expect.stringContaining(`instances[0].entries[0].${path}`),
        }),
      );
    }
  });

  test("closes every element it opens", () => {
    const open: string[] = [];
    for (const [tag, slash, name] of page.matchAll(/<(\/?)([a-z0-9]+)(?:\s[^<>]*)?>/g)) {
      if (tag.endsWith("/>") || ["meta"].includes(name)) continue;
      if (slash === "") open.push(name);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
  });

  test("says every section's explanation, every caption, unit and label", () => {
    for (const words of [
      "Fact tracing",
      "A faithful attribution stands clear",
      "Brackets: 95 % bootstrap",
      "Units changed (r)",
      "Random units",
      "layer 11, neuron",
      "states the fact asked for",
      "✗ wrong",
    ]) {
      expect(page).toContain(words);
    }
  });

  test("a browser over queries has its controls, and the policy names its one script", () => {
    const card = (id: string, predicted: string) => ({
      id,
      text: `The claim ${id}`,
      label: "yes",
      prediction: { label: predicted, probability: 0.75 },
      group: id,
      isConflict: predicted === "no",
      instances: [
        {
          method: "EK-FAC",
          entries: [{ id: "7", text: "A claim of training", score: 3, share: 0.25 }],
          bottom: [{ id: "8", text: "Another", score: -2 }],
        },
      ],
      neurons: [{ method: "Heads", entries: [{ layer: 1, unit: 2, score: 0.5, isHead: true }] }],
    });
    const cards = [card("one", "yes"), card("two", "no")];
    const browsing = renderReport({
      title: "T",
      summary: "S",
      facts: [],
      sections: [{ title: "Every query", explanation: "E", blocks: [{ kind: "instances", browse: true, cards }] }],
    });
    const [, source = ""] = /<script>([\s\S]*?)<\/script>/.exec(browsing) ?? [];
    const hash = createHash("sha256").update(source).digest("base64");
    expect(browsing).toContain(`content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'"`);
    expect(browsing.match(/<article/g)).toHaveLength(2);
    expect(browsing).toContain(
      'data-right="no" data-conflict="yes" data-group="two"'.replaceAll(" data", "\n    data"),
    );
    for (const words of ["Search", "wrong answers", "layer 1, head 2", "25 %", "Lowest", "A <u>claim</u> of training"])
      expect(browsing).toContain(words);
  });

  test("gives the numbers of each plot as a table", () => {
    expect(page.match(/<details>/g)).toHaveLength(page.match(/<figure>/g)?.length ?? -1);
  });

  test("draws no coordinate that is not a number", () => expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/));

  test("shades an entry's tokens by their share of the largest part, in the colour of their sign", () => {
    const entry = (scores: readonly number[]) => ({
      id: "t",
      text: "a b",
      score: 1,
      words: scores.map((score, t) => ({ text: `w${t}`, score })),
    });
    const card = (scores: readonly number[]): ReportBlock => ({
      kind: "instances",
      cards: [
        {
          id: "q",
          text: "q",
          prediction: { label: "x" },
          instances: [{ method: "m", entries: [entry(scores)] }],
          neurons: [],
        },
      ],
    });
    const page = renderReport(reportOf(card([2, -1, 0])));
    expect([...page.matchAll(/var\(--s(\d)\) (\d+)%, transparent\)">(w\d)/g)].map((match) => match.slice(1))).toEqual([
      ["0", "60", "w0"],
      ["1", "30", "w1"],
      ["0", "0", "w2"],
    ]);
    expect(renderReport(reportOf(card([0, 0])))).not.toMatch(/NaN/);
  });

  test("escapes every text of every block", () => {
    const dirty = JSON.parse(JSON.stringify(sampleReport), (key, value: unknown) =>
      typeof value === "string" && !["kind", "scale", "format", "role"].includes(key) ? hostile : value,
    ) as Report;
    const rendered = renderReport(dirty);
    expect(rendered).not.toContain("<script");
    expect(rendered).not.toMatch(/alert\("1"\)/);
    expect(rendered.match(/&lt;script&gt;/g)?.length).toBeGreaterThan(100);
  });

  test.each<[string, ReportBlock]>([
    ["no series", { kind: "lines", title: "p", x: { label: "x" }, y: { label: "y" }, series: [] }],
    [
      "one point",
      {
        kind: "lines",
        title: "p",
        x: { label: "x", scale: "log" },
        y: { label: "y" },
        series: [{ label: "a", points: [{ x: 5, y: 0 }] }],
      },
    ],
    [
      "points that are not finite",
      {
        kind: "lines",
        title: "p",
        x: { label: "x", scale: "log" },
        y: { label: "y" },
        series: [
          {
            label: "a",
            points: [
              { x: 0, y: 1 },
              { x: 1, y: NaN },
              { x: 2, y: Infinity },
              { x: 3, y: 1, low: NaN, high: 2 },
            ],
          },
        ],
      },
    ],
    [
      "equal values",
      {
        kind: "bars",
        title: "p",
        x: { label: "x" },
        y: { label: "y" },
        categories: ["a", "b"],
        series: [{ label: "s", values: [0, 0] }],
      },
    ],
    ["no bars", { kind: "bars", title: "p", x: { label: "x" }, y: { label: "y" }, categories: [], series: [] }],
    [
      "bars that are not finite",
      {
        kind: "bars",
        title: "p",
        x: { label: "x" },
        y: { label: "y" },
        categories: ["a"],
        series: [{ label: "s", values: [NaN] }],
      },
    ],
    [
      "an empty heat map",
      {
        kind: "heatMap",
        title: "p",
        x: { label: "x" },
        y: { label: "y" },
        columns: [],
        rows: [],
        values: [],
        valueLabel: "v",
      },
    ],
    [
      "a blank heat map",
      {
        kind: "heatMap",
        title: "p",
        x: { label: "x" },
        y: { label: "y" },
        columns: ["a"],
        rows: ["b"],
        values: [[null]],
        valueLabel: "v",
      },
    ],
    ["no rows", { kind: "table", caption: "c", columns: [{ label: "a" }], rows: [] }],
    ["no cards", { kind: "instances", cards: [] }],
  ])("draws %s without a broken coordinate", (_, block) => {
    const drawing = renderReport(reportOf(block)).replaceAll(/<details>.*?<\/details>/gs, "");
    expect(drawing).not.toMatch(/="[^"]*(NaN|Infinity|undefined)/);
  });

  test("writes the names of bars in full, on several lines where they are long", () => {
    const categories = [
      "the fact itself",
      "its phrasings kept out",
      "other facts, same relation",
      "other facts, other relation",
    ];
    const drawing = renderReport(
      reportOf({
        kind: "bars",
        title: "p",
        x: { label: "Asked" },
        y: { label: "y" },
        categories,
        series: [{ label: "s", values: [1, 2, 3, 4] }],
      }),
    );
    const [svg] = /<svg viewBox="0 0 520 \d+" role="img".*?<\/svg>/s.exec(drawing) ?? [""];
    for (const line of [
      ">the fact itself<",
      ">its phrasings<",
      ">kept out<",
      ">other facts,<",
      ">same relation<",
      ">other relation<",
    ])
      expect(svg).toContain(line);
    expect(svg).not.toContain("…");
    expect(svg).toContain('viewBox="0 0 520 314"');
  });

  test("shows a missing interval as no band and a series of its own as a line", () => {
    const plot: LinePlot = {
      kind: "lines",
      title: "p",
      x: { label: "x" },
      y: { label: "y" },
      series: [
        {
          label: "a",
          points: [
            { x: 2, y: 1 },
            { x: 1, y: 2 },
          ],
        },
      ],
    };
    const page_ = renderReport(reportOf(plot)).split("</style>")[1];
    expect(page_).not.toContain("band");
    expect(page_.match(/<circle/g)).toHaveLength(3); // two points and the legend
  });

  test("is written as a whole file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "report-"));
    await writeReport(join(folder, "report.html"), sampleReport);
    expect(await readFile(join(folder, "report.html"), "utf8")).toBe(page);
    expect(await readdir(folder)).toEqual(["report.html"]);
    await rejects("invalid", () => writeReport(join(folder, "none", "report.html"), sampleReport), /Cannot write/);
    await rm(folder, { recursive: true });
  });
});

describe("formatting", () => {
  test.each([
    [0, "0"],
    [3, "3"],
    [-2, "−2"],
    [1234567, "1 234 567"],
    [0.5, "0.500"],
    [12.345, "12.3"],
    [1234.5, "1 235"],
    [0.00012, "1.2 × 10⁻⁴"],
    [-1e20, "−1.0 × 10²⁰"],
    [NaN, "–"],
    [-Infinity, "−∞"],
    [0.012345, "0.0123"],
  ])("%d is written %s", (value, words) => expect(formatNumber(value)).toBe(words));

  test("given digits hold, small numbers too, and a rounded zero has no sign", () => {
    expect(formatNumber(0.12345, 2)).toBe("0.12");
    expect(formatNumber(1234.5678, 4)).toBe("1 234.5678");
    expect(formatNumber(-0, 1)).toBe("0.0");
    expect(formatNumber(-7e-18, 3)).toBe("0.000");
    expect(formatNumber(7e-6, 3)).toBe("0.000");
  });

  test("escaping leaves no markup, no control characters and no lone surrogates", () => {
    expect(escaped(`a<b>"c"&'d'\u0000\ud800\u0007\n`)).toBe(
      "a&lt;b&gt;&quot;c&quot;&amp;&#39;d&#39;\ufffd\ufffd\ufffd\n",
    );
    expect(html`<p>${[html`<i>${"<"}</i>`, null]}${1}</p>`.markup).toBe("<p><i>&lt;</i>1</p>");
  });
});

describe("scales", () => {
  test("ticks are round numbers that enclose the values", () => {
    const scale = scaleOf([-0.31, 0.07], "linear", 100, 0, true);
    expect(scale.ticks).toEqual([-0.4, -0.3, -0.2, -0.1, 0, 0.1]);
    expect(scale(-0.4)).toBeCloseTo(100, 9);
    expect(scale(0.1)).toBeCloseTo(0, 9);
    expect([niceStep(1), niceStep(7), niceStep(0.03)]).toEqual([0.2, 2, expect.closeTo(0.01, 12)]);
  });

  test("a logarithmic scale has ticks at 1, 2 and 5 times powers of ten", () => {
    const scale = scaleOf([1, 100], "log", 0, 10, false);
    expect(scale.ticks).toEqual([1, 2, 5, 10, 20, 50, 100]);
    expect(scale(10)).toBeCloseTo(5, 12);
  });
});
