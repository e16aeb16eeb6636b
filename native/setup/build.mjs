// The one way to compile: cmake-js. `node build.mjs` makes the addon; `--tests` makes and runs the C++ tests (further arguments
// go to them); `--to FOLDER` is for binding.gyp.
import { existsSync } from "node:fs";
import { copyFile, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, freemem } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { findLibtorch } from "./libtorch.mjs";
import { cmakeFolder, releaseFolder, root, setupCommand, stampName } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, main, say, seconds } from "./say.mjs";
import { hashOfSources } from "./sources.mjs";

const require = createRequire(import.meta.url);

/** Compiles the addon against a libtorch and puts it where node-gyp-build looks. */
export async function buildAddon(libtorch, { to = releaseFolder, relocatable = false } = {}) {
  const started = performance.now();
  const sources = hashOfSources();
  await requireTools();
  say(`compiling the addon against libtorch ${libtorch.version} at ${libtorch.folder} (minutes the first time)`);
  await compile("attribution", libtorch, { relocatable });
  await putAddon(join(cmakeFolder, "Release", "attribution.node"), libtorch, { to, sources, how: "compiled" });
  say(`the addon is built (${seconds(started)})`);
}

/** The addon, the link `libtorch` that a relocatable one finds its libraries through, and last the stamp. */
export async function putAddon(file, libtorch, { to = releaseFolder, sources, how }) {
  await mkdir(to, { recursive: true });
  const stamp = join(to, stampName);
  await rm(stamp, { force: true });
  // Beside and renamed: a process that has the old one mapped keeps it.
  const [addon, link] = [join(to, "attribution.node"), join(to, "libtorch")];
  await copyFile(file, `${addon}.new`);
  await rename(`${addon}.new`, addon);
  await rm(link, { force: true });
  const lib = join(libtorch.folder, "lib");
  const inside = lib.startsWith(`${root}/`);
  await symlink(inside ? relative(to, lib) : lib, link);
  await writeFile(
    stamp,
    `${JSON.stringify({ sources, libtorch: libtorch.folder, version: libtorch.version, how }, null, 2)}\n`,
  );
}

/** Compiles one of CMakeLists.txt's targets. With `sanitize` all objects are made for the sanitizers, in a `folder` of their own. */
export async function compile(target, libtorch, { relocatable = false, sanitize = false, folder = cmakeFolder } = {}) {
  const defines = {
    ATTRIBUTION_LIBTORCH: libtorch.folder,
    ATTRIBUTION_LIBTORCH_VERSION: libtorch.version,
    ATTRIBUTION_NODE_ADDON_API: dirname(require.resolve("node-addon-api/package.json")),
    ATTRIBUTION_RELOCATABLE: relocatable ? "ON" : "OFF",
    ATTRIBUTION_SANITIZE: sanitize ? "ON" : "OFF",
  };
  const common = ["--directory", root, "--out", folder, "--config", "Release"];
  const cmakeJs = join(dirname(require.resolve("cmake-js/package.json")), "bin", "cmake-js");
  // Configuring costs a second and takes in another libtorch; cmake-js alone configures once.
  const configuring = [
    cmakeJs,
    "configure",
    ...common,
    ...Object.entries(defines).map(([name, value]) => `--CD${name}=${value}`),
  ];
  let configure = await run(process.execPath, configuring);
  if (configure.code !== 0 && existsSync(join(folder, "CMakeCache.txt"))) {
    // Another generator, compiler or place than when the folder was made: CMake then wants it gone.
    await rm(folder, { recursive: true, force: true });
    configure = await run(process.execPath, configuring);
  }
  if (configure.code !== 0)
    throw new SetupError(
      "CMake could not configure the addon.",
      mendCompiler,
      configure.output.split("\n").slice(-30).join("\n"),
    );
  const build = await run(
    process.execPath,
    [cmakeJs, "build", ...common, "--target", target, "--parallel", String(jobs()), "--log-level", "error"],
    { show: "all" },
  );
  if (build.code !== 0)
    throw new SetupError(
      `The ${target === "attribution" ? "addon" : "C++ tests"} did not compile (see above).`,
      mendCompiler,
    );
}

const mendCompiler = [
  "Install a C++20 compiler (GCC 11 or newer) and CMake 3.18 or newer (Debian, Ubuntu: apt-get install g++ cmake)",
  `Choose another compiler: CXX=/path/to/g++ ${setupCommand} (after removing ${root}/build)`,
  `On little memory, compile one file at a time: JOBS=1 ${setupCommand}`,
];

export async function requireTools() {
  const compiler = process.env.CXX ? process.env.CXX.split(" ")[0] : undefined;
  const found = await Promise.all(
    (compiler ? [compiler] : ["c++", "g++", "clang++"]).map((name) => run(name, ["--version"])),
  );
  if (found.every((answer) => answer.code !== 0)) {
    throw new SetupError(
      `There is no C++ compiler (${compiler ?? "c++, g++, clang++"}), and no prebuilt addon fits this machine.`,
      mendCompiler,
    );
  }
  const cmake = await run("cmake", ["--version"]);
  const version = /version (\d+)\.(\d+)/.exec(cmake.stdout);
  if (cmake.missing || !version)
    throw new SetupError("There is no CMake on PATH, and no prebuilt addon fits this machine.", [
      mendCompiler[0],
      "python3 -m pip install cmake",
    ]);
  if (Number(version[1]) < 3 || (Number(version[1]) === 3 && Number(version[2]) < 18)) {
    throw new SetupError(`CMake is ${version[1]}.${version[2]}; the addon needs 3.18 or newer.`, [
      mendCompiler[0],
      "python3 -m pip install cmake",
    ]);
  }
}

/** A compiler takes up to 1.5 GB here. */
function jobs() {
  const asked = Number.parseInt(process.env.JOBS ?? "", 10);
  return asked > 0 ? asked : Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / 1.5e9)));
}

async function runTests(args) {
  await requireTools();
  await compile("attribution_tests", await findLibtorch());
  const answer = await run(join(cmakeFolder, "attribution_tests"), args, { show: "all" });
  if (answer.code !== 0) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const to = args[0] === "--to" ? args[1] : undefined;
  await main(async () => {
    if (args[0] === "--tests") return runTests(args.slice(1));
    return buildAddon(await findLibtorch(), { to, relocatable: process.env.ATTRIBUTION_RELOCATABLE === "1" });
  });
}
