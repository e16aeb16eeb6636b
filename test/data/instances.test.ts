// Instances: layout, fingerprints, selection and joining, and refusals.
import { concatInstances, createInstances, type InstanceRows, selectInstances } from "../../lib/data/instances";

const classes = createInstances({
  kind: "classification",
  rows: [
    [2, 5, 6],
    [2, 7],
  ],
  labels: [1, 0],
  ids: ["a", "b"],
  texts: ["x", "y"],
});
const choices = createInstances({
  kind: "choice",
  rows: [[1], [2, 3], [4], [5, 6], [7]],
  groups: [2, 3],
  labels: [1, -1],
});
const language = createInstances({
  kind: "causalLM",
  rows: [
    [3, 4, 5],
    [6, 7],
  ],
  labels: [-1, 8],
});

test("rows lie one after the other", () => {
  expect([classes.size, ...classes.tokens]).toEqual([2, 2, 5, 6, 2, 7]);
  expect([Array.from(classes.rowOffsets), Array.from(classes.groupOffsets)]).toEqual([
    [0, 3, 5],
    [0, 1, 2],
  ]);
  expect([Array.from(choices.rowOffsets), Array.from(choices.groupOffsets)]).toEqual([
    [0, 1, 3, 4, 6, 7],
    [0, 2, 5],
  ]);
  expect(classes.targets).toHaveLength(0);
  expect(choices.ids).toEqual(["0", "1"]);
});

test("a causal LM's targets are the next tokens; the label where it is known", () => {
  expect(Array.from(language.targets)).toEqual([4, 5, -100, 7, 8]);
  const own = createInstances({ kind: "causalLM", rows: [[3, 4]], targets: [[-100, 9]] });
  expect(Array.from(own.targets)).toEqual([-100, 9]);
});

test("selecting all is the same; order and repeats are kept", () => {
  for (const set of [classes, choices, language]) expect(selectInstances(set, [0, 1])).toEqual(set);
  const twice = selectInstances(choices, Int32Array.of(1, 0, 1));
  expect([twice.size, Array.from(twice.groupOffsets), Array.from(twice.tokens)]).toEqual([
    3,
    [0, 3, 5, 8],
    [4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7],
  ]);
  expect([Array.from(twice.labels), twice.ids]).toEqual([
    [-1, 1, -1],
    ["1", "0", "1"],
  ]);
});

test("joining what was taken apart gives the whole", () => {
  for (const set of [classes, choices, language])
    expect(concatInstances([selectInstances(set, [0]), selectInstances(set, [1])])).toEqual(set);
});

test("the hash speaks of every part, and of nothing else", () => {
  const rows: InstanceRows = {
    kind: "classification",
    rows: [
      [2, 5, 6],
      [2, 7],
    ],
    labels: [1, 0],
  };
  const changed: InstanceRows[] = [
    { ...rows, labels: [0, 1] },
    {
      ...rows,
      rows: [
        [2, 5],
        [6, 2, 7],
      ],
    },
    { ...rows, kind: "causalLM" },
    {
      ...rows,
      rows: [
        [2, 5, 6],
        [2, 8],
      ],
    },
  ];
  expect(createInstances(rows).hash).toBe(classes.hash);
  expect(new Set([classes, ...changed.map(createInstances)].map((set) => set.hash)).size).toBe(5);
});

const refused: [string, object][] = [
  ["no rows", { rows: [] }],
  ["an empty row", { rows: [[1], []] }],
  ["a negative id", { rows: [[-1]] }],
  ["a fraction", { rows: [[1.5]] }],
  ["an id beyond 32 bits", { rows: [[2 ** 31]] }],
  ["as many labels as rows", { labels: [0, 1] }],
  ["a label below −1", { labels: [-2] }],
  ["a fraction of a label", { labels: [0.5] }],
  ["a kind that is none", { kind: "regression" }],
  ["groups without choices", { groups: [1] }],
  ["choices without groups", { kind: "choice" }],
  ["groups that do not add up", { kind: "choice", groups: [2] }],
  ["an answer beyond the choices", { kind: "choice", groups: [1], labels: [1] }],
  ["targets of a classifier", { targets: [[1]] }],
  ["too few targets", { kind: "causalLM", targets: [[1, 2]] }],
  ["a target below −100", { kind: "causalLM", targets: [[-101]] }],
  ["a target that is neither an id nor none", { kind: "causalLM", targets: [[-1]] }],
  ["ids that are no strings", { ids: [1] }],
];
test.each(refused)("refuses %s", (_, change) => {
  expect(() => createInstances({ kind: "classification", rows: [[1]], ...change })).toThrow(
    expect.objectContaining({ name: "AttributionError", code: "invalid" }),
  );
});

test("selections and unions that cannot be", () => {
  expect(() => selectInstances(classes, [2])).toThrow(expect.objectContaining({ code: "invalid" }));
  expect(() => selectInstances(classes, [0.5])).toThrow(expect.objectContaining({ code: "invalid" }));
  expect(() => selectInstances(classes, [])).toThrow(expect.objectContaining({ code: "invalid" }));
  expect(() => concatInstances([])).toThrow(expect.objectContaining({ code: "invalid" }));
  expect(() => concatInstances([classes, choices])).toThrow(expect.objectContaining({ code: "mismatch" }));
});
