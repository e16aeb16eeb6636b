import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

const root = resolve(__dirname, "../..");

// Imports go from later to earlier rows only; the rooms of one row do not know each other. A room is a folder, or a file beside them.
const libRows = [
  ["errors"],
  ["options", "pacing", "random"],
  ["statistics"],
  ["native", "storage"],
  ["data"],
  ["model"],
  ["provenance"],
  ["results"],
  ["instance", "neuron"],
  ["alignment"],
  ["faithfulness"],
  ["analysis"],
  ["report"],
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

const shown = ({ file, target }: Use) => `${file} imports ${target}`;
const libUses = importsIn("lib");
const nativeUses = includesIn("native");

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

  test("only addon/ knows that Node exists", () => {
    const node = nativeUses.filter(({ target }) => /^(napi|node_api|js_native_api|node|uv|v8)\b/.test(target));
    expect(node.filter(({ file }) => roomOf(file) !== "addon").map(shown)).toEqual([]);
  });
});
