import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

const root = resolve(__dirname, "../..");

// Imports go from later to earlier rows only; the rooms of one row do not know each other. A room is a folder, or a file beside them.
const libRows = [
  ["errors", "threads"],
  ["options", "pacing", "random"],
  ["ordering"],
  ["statistics"],
  ["native"],
  ["storage"],
  ["hub"],
  ["data"],
  ["model"],
  ["provenance"],
  ["results"],
  ["instance", "neuron"],
  ["alignment"],
  ["faithfulness"],
  ["analysis"],
  ["report"],
  ["study"],
  ["cli"],
  ["index"],
];
const nativeRows = [["core"], ["storage"], ["model"], ["training"], ["instance", "neuron"], ["engine"], ["addon"]];

interface Use {
  readonly file: string;
  readonly target: string;
}

function filesIn(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"));
}

/** What the TypeScript files of a folder import, in any way: a path from the root, or a package's name. */
function importsIn(folder: string): Use[] {
  const importing = /(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*"([^"]+)"/g;
  return filesIn(folder, /\.ts$/).flatMap((file) =>
    [...readFileSync(join(root, file), "utf8").matchAll(importing)].map(([, name = ""]) => {
      const target = name.startsWith(".")
        ? relative(root, resolve(root, dirname(file), name))
            .split(sep)
            .join("/")
        : name;
      return { file, target };
    }),
  );
}

function includesIn(folder: string): Use[] {
  return filesIn(folder, /\.(cpp|h)$/).flatMap((file) =>
    [...readFileSync(join(root, file), "utf8").matchAll(/^\s*#\s*include\s+["<]([^">]+)[">]/gm)].map(
      ([, target = ""]) => ({ file, target }),
    ),
  );
}

/** "lib/data/x.ts" → "data"; "lib/errors" → "errors". */
function roomOf(path: string): string {
  return (path.split("/")[1] ?? "").replace(/\.ts$/, "");
}

function forbidden(uses: readonly Use[], rows: readonly string[][]): string[] {
  const rank = (room: string) => rows.findIndex((row) => row.includes(room));
  return uses
    .map(({ file, target }) => ({ file, target, from: roomOf(file), to: roomOf(target) }))
    .filter(({ from, to }) => from !== to && rank(to) >= rank(from))
    .map(({ file, target }) => `${file} imports ${target}`);
}

/** Groups of files that import each other in a circle, each sorted. */
function circles(uses: readonly Use[]): string[][] {
  const edges = new Map<string, Set<string>>();
  for (const { file, target } of uses) edges.set(file, (edges.get(file) ?? new Set()).add(target));
  const reached = (from: string): Set<string> => {
    const seen = new Set<string>();
    const open = [...(edges.get(from) ?? [])];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(...(edges.get(next) ?? []));
    }
    return seen;
  };
  const all = new Map([...edges.keys()].map((file) => [file, reached(file)]));
  const groups = [...all.keys()]
    .filter((file) => all.get(file)?.has(file))
    .map((file) => [...all.keys()].filter((other) => all.get(file)?.has(other) && all.get(other)?.has(file)).sort());
  return [...new Map(groups.map((group) => [group.join(), group])).values()];
}

const stem = (path: string) => path.replace(/\.(ts|cpp|h)$/, "");

test("a circle of files is found, however long", () => {
  const uses = ["a b", "b c", "c a", "d a", "e e"].map((pair) => ({ file: pair[0] ?? "", target: pair[2] ?? "" }));
  expect(circles(uses)).toEqual([["a", "b", "c"], ["e"]]);
});

const shown = ({ file, target }: Use) => `${file} imports ${target}`;
const libUses = importsIn("lib");
const nativeUses = includesIn("native");

describe("ARCHITECTURE.md", () => {
  const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const named = [...text.matchAll(/`([\w./-]+)`/g)].map(([, name = ""]) => name);

  test("names only paths that exist", () => {
    const paths = named.filter((name) => /^(lib|native|types|test|benchmarks|examples|studies)\//.test(name));
    expect(paths.length).toBeGreaterThan(20);
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test("names every room of lib/ and native/", () => {
    const rooms = ["lib", "native"].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isDirectory() && !/demo|facts/.test(entry.parentPath))
        .map((entry) => `${relative(root, join(entry.parentPath, entry.name)).split(sep).join("/")}/`),
    );
    expect(rooms.filter((room) => !named.includes(room))).toEqual([]);
  });
});

describe("the tree of lib/", () => {
  test("every room has its place in the order", () => {
    const rooms = filesIn("lib", /\.ts$/).map(roomOf);
    expect([...new Set(rooms)].filter((room) => !libRows.flat().includes(room))).toEqual([]);
  });

  test("imports go downwards only", () => {
    const within = libUses.filter(({ target }) => target.startsWith("lib/"));
    expect(within.length).toBeGreaterThan(0);
    expect(forbidden(within, libRows)).toEqual([]);
  });

  test("no files import each other in a circle", () => {
    const files = new Set(filesIn("lib", /\.ts$/).map(stem));
    const resolved = (target: string) => (files.has(`${target}/index`) ? `${target}/index` : target);
    expect(circles(libUses.map(({ file, target }) => ({ file: stem(file), target: resolved(target) })))).toEqual([]);
  });

  test("nothing outside lib/, types/ and package.json is imported by path", () => {
    const paths = libUses.filter(({ target }) => /^\.\.|^(native|test|benchmarks|dist)\//.test(target));
    expect(paths.map(shown)).toEqual([]);
  });

  test("alignment and analysis never touch a model", () => {
    const pure = libUses.filter(({ file }) => ["alignment", "analysis"].includes(roomOf(file)));
    expect(
      pure
        .filter(({ target }) =>
          ["lib/native", "lib/model"].some((room) => target === room || target.startsWith(`${room}/`)),
        )
        .map(shown),
    ).toEqual([]);
  });

  test("one file loads the addon", () => {
    const loading = filesIn("lib", /\.ts$/).filter((file) =>
      /node-gyp-build|process\.dlopen|\.node"/.test(readFileSync(join(root, file), "utf8")),
    );
    expect(loading).toEqual(["lib/native.ts"]);
  });

  test("types import types only", () => {
    expect(
      importsIn("types")
        .filter(({ target }) => !target.startsWith("types/"))
        .map(shown),
    ).toEqual([]);
  });
});

describe("the tree of native/", () => {
  const rooms = nativeRows.flat();
  const within = nativeUses
    .filter(({ target }) => rooms.includes(target.split("/")[0] ?? ""))
    .map(({ file, target }) => ({ file, target: `native/${target}` }));

  test("every room has its place in the order", () => {
    const found = new Set(filesIn("native", /\.(cpp|h)$/).map(roomOf));
    expect([...found].filter((room) => room !== "setup" && !rooms.includes(room))).toEqual([]);
  });

  test("includes go downwards only", () => {
    expect(within.length).toBeGreaterThan(0);
    expect(forbidden(within, nativeRows)).toEqual([]);
  });

  test("no files include each other in a circle", () => {
    const uses = within.map(({ file, target }) => ({ file: stem(file), target: stem(target) }));
    expect(circles(uses.filter(({ file, target }) => file !== target))).toEqual([]); // a .cpp includes its own .h
  });

  test("only addon/ knows that Node exists", () => {
    const node = nativeUses.filter(({ target }) => /^(napi|node_api|js_native_api|node|uv|v8)\b/.test(target));
    expect(node.filter(({ file }) => roomOf(file) !== "addon").map(shown)).toEqual([]);
  });
});
