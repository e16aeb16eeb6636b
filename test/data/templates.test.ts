// Templates: the paper's inputs part by part, and what a row that does not fit gets.
import { resolveTemplate, type Template } from "../../lib/data/templates";
import type { Dataset, Row } from "../../types/data";

const row = (fields: Row["fields"], label = -1): Row => ({ id: "r", fields, label });
const dataset = (...rows: Row[]): Dataset => ({ name: "test", rows, labels: [], hash: "" });
const inputs = (template: Template | undefined, one: Row) => resolveTemplate(template, dataset(one)).inputs(one);

test("the paper's inputs", () => {
  expect(inputs(undefined, row({ claim: "c", evidence: "e" }))).toEqual([
    [{ text: "Claim : c" }, { text: "/ Evidence : e", truncate: true }, { text: "/ Answer :" }],
  ]);
  expect(inputs(undefined, row({ premise: "p", hypothesis: "h" }))).toEqual([
    [{ text: "Premise : p", truncate: true }, { text: "/ Hypothesis : h" }, { text: "/ Answer :" }],
  ]);
  expect(inputs(undefined, row({ question: "q", choices: ["a", "b"] }))).toEqual(
    ["a", "b"].map((choice) => [
      { text: "Question : q", truncate: true },
      { text: `/ Choice : ${choice}` },
      { text: "/ Answer :" },
    ]),
  );
  expect(resolveTemplate(undefined, dataset(row({ question: "q", choices: ["a", "b"] }))).maxLength).toBe(128);
});

test("a claim without evidence leaves that part out; empty evidence and an empty claim stay", () => {
  expect(inputs("claim", row({ claim: "c" }))).toEqual([[{ text: "Claim : c" }, { text: "/ Answer :" }]]);
  expect(inputs("claim", row({ claim: "c", evidence: "" }))[0]).toHaveLength(3);
  expect(inputs("claim", row({ claim: "", evidence: "e" }))[0][0]).toEqual({ text: "Claim : " });
});

test("a text with fields is one part; {choice} makes an input per choice; doubled braces are braces", () => {
  expect(inputs("{{{text}}} {text}", row({ text: "a$&b" }))).toEqual([[{ text: "{a$&b} a$&b" }]]);
  expect(inputs("{q}: {choice}", row({ q: "x", choices: ["a", "b"] }))).toEqual([
    [{ text: "x: a" }],
    [{ text: "x: b" }],
  ]);
});

test("a function gives parts, or parts per choice", () => {
  const parts = [{ text: "a", truncate: true }, { text: "b" }];
  expect(inputs(() => parts, row({ text: "t" }))).toEqual([parts]);
  expect(inputs(() => [parts, parts], row({ text: "t" }))).toEqual([parts, parts]);
});

const refused: [string, Template | undefined, Row, string][] = [
  ["no template fits", undefined, row({ other: "x" }), "missing"],
  ["an unknown name", "nli", row({ text: "x" }), "unknown"],
  ["an unclosed brace", "{text", row({ text: "x" }), "invalid"],
  ["a field the row lacks", "{txt}", row({ text: "x" }), "missing"],
  ["a field of several texts", "{choices}", row({ choices: ["x"] }), "missing"],
  ["no choices", "choice", row({ question: "q" }), "missing"],
  ["an empty text", undefined, row({ text: " \n" }), "invalid"],
  ["an empty claim without evidence", undefined, row({ claim: "" }), "invalid"],
  ["a function that gives no parts", (() => "x") as unknown as Template, row({ text: "x" }), "invalid"],
  ["a function that gives blank parts", () => [{ text: " " }], row({ text: "x" }), "invalid"],
  ["no template", 3 as unknown as Template, row({ text: "x" }), "invalid"],
];
test.each(refused)("refuses %s", (_, template, one, code) => {
  expect(() => inputs(template, one)).toThrow(expect.objectContaining({ name: "AttributionError", code }));
});
