import { displayWidth, textTable } from "../../lib/cli/table";

describe("a text table", () => {
  test("aligns texts left and numbers by their point, with notes below", () => {
    const table = textTable({
      caption: "Recall",
      columns: [{ label: "method" }, { label: "recall", digits: 3 }, { label: "time", unit: "s" }],
      rows: [
        ["influence", { mean: 0.41, low: 0.35, high: 0.5 }, 12.5],
        ["random\nx", { mean: 0.02, low: 0, high: 0.1 }, null],
      ],
      notes: ["40 queries"],
    });
    expect(table.split("\n")).toEqual([
      "Recall",
      "─────────  ────────────────────  ────────",
      "method                   recall  time (s)",
      "─────────  ────────────────────  ────────",
      "influence  0.410 [0.350, 0.500]      12.5",
      "random x   0.020 [0.000, 0.100]         –",
      "40 queries",
    ]);
  });

  test("counts wide characters as two columns and marks as none", () => {
    expect(["ab", "日本", "🌍", "e\u0301"].map(displayWidth)).toEqual([2, 4, 2, 1]);
  });

  const wide = {
    caption: "Scores",
    columns: [{ label: "Text" }, { label: "Score", digits: 2 }],
    rows: [["a long text that does not fit", 0.5]],
  };

  test("cuts its texts to the width", () => {
    expect(textTable(wide, 24).split("\n")).toEqual([
      "Scores",
      "─────────────────  ─────",
      "Text               Score",
      "─────────────────  ─────",
      "a long text that…   0.50",
    ]);
  });

  test("becomes lines of label and value where even that is too wide", () => {
    expect(textTable(wide, 15).split("\n")).toEqual([
      "Scores",
      "",
      "Text: a long",
      "text that does",
      "not fit",
      "  Score: 0.50",
    ]);
  });
});
