import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";

const root = resolve(__dirname, "../..");
const stamp = JSON.parse(readFileSync(join(root, "build/Release/attribution.json"), "utf8")) as {
  libtorch: string;
  version: string;
};

// Each test sets up a copy of the package that has no build and no libtorch, with a PATH that holds `programs` and nothing else.
let copy: string;
let bin: string;

beforeEach(() => {
  copy = realpathSync(mkdtempSync(join(tmpdir(), "attribution-setup-")));
  bin = join(copy, "bin");
  mkdirSync(bin);
  for (const name of ["package.json", "CMakeLists.txt", "native"])
    cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
});

afterEach(() => {
  rmSync(copy, { recursive: true, force: true });
});

function provide(name: string): void {
  const folder = (process.env.PATH ?? "").split(delimiter).find((candidate) => existsSync(join(candidate, name)));
  if (folder) symlinkSync(join(folder, name), join(bin, name));
}

function script(name: string, lines: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${lines}\n`);
  chmodSync(join(bin, name), 0o755);
}

function install(env: Record<string, string> = {}): { code: number | null; stdout: string; stderr: string } {
  const answer = spawnSync(process.execPath, [join(copy, "native/setup/install.mjs")], {
    cwd: copy,
    env: { PATH: bin, HOME: copy, ...env },
    encoding: "utf8",
  });
  return { code: answer.status, stdout: answer.stdout, stderr: answer.stderr };
}

const ways = /Any of these mends it:\n( {2}- .+\n)+/;

describe("npm install says once what is wrong and how to mend it", () => {
  test("with a LIBTORCH that does not exist", () => {
    const { code, stderr } = install({ LIBTORCH: "/nowhere/libtorch" });
    expect(code).toBe(1);
    expect(stderr).toContain(
      "Expected a libtorch folder by LIBTORCH=/nowhere/libtorch, but /nowhere/libtorch does not exist.",
    );
    expect(stderr).toMatch(ways);
  });

  test("with a LIBTORCH that is another folder", () => {
    const { code, stderr } = install({ LIBTORCH: bin });
    expect(code).toBe(1);
    expect(stderr).toContain("has no lib/libtorch.so");
    expect(stderr).toMatch(ways);
  });

  test("with a LIBTORCH that is too old", () => {
    const old = join(copy, "old");
    for (const file of ["lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so", "include/ATen/ATen.h"]) {
      mkdirSync(join(old, file, ".."), { recursive: true });
      writeFileSync(join(old, file), "");
    }
    const header = join(old, "include/torch/csrc/api/include/torch/version.h");
    mkdirSync(join(header, ".."), { recursive: true });
    writeFileSync(header, '#define TORCH_VERSION \\\n  "1.13.0"\n');
    const { code, stderr } = install({ LIBTORCH: old });
    expect(code).toBe(1);
    expect(stderr).toMatch(/is libtorch 1\.13\.0; attribution needs \d+\.\d+\.\d+ or newer/);
    expect(stderr).toMatch(ways);
  });

  test("without a torch in the python3 that LIBTORCH_USE_PYTORCH means", () => {
    script("python3", "echo");
    const { code, stderr } = install({ LIBTORCH_USE_PYTORCH: "1" });
    expect(code).toBe(1);
    expect(stderr).toContain("the python3 on PATH has no torch");
    expect(stderr).toMatch(ways);
  });

  test("without Python", () => {
    const { code, stderr } = install();
    expect(code).toBe(1);
    expect(stderr).toContain("There is no python3 on PATH");
    expect(stderr).toMatch(ways);
  });

  test("without pip", () => {
    script("python3", "exit 1");
    const { code, stderr } = install();
    expect(code).toBe(1);
    expect(stderr).toContain("python3 has no pip");
    expect(stderr).toMatch(ways);
  });

  test("without network", () => {
    script(
      "python3",
      'case "$*" in *--version) exit 0;; esac; echo "ERROR: No matching distribution found" >&2; exit 1',
    );
    const { code, stderr } = install();
    expect(code).toBe(1);
    expect(stderr).toContain("pip could not download torch==");
    expect(stderr).toContain("| ERROR: No matching distribution found");
    expect(stderr).toMatch(ways);
    expect(readdirSync(join(copy, ".libtorch"))).toEqual([]);
  });

  test("without a compiler", () => {
    provide("cmake");
    const { code, stderr } = install({ LIBTORCH: stamp.libtorch });
    expect(code).toBe(1);
    expect(stderr).toContain("There is no C++ compiler");
    expect(stderr).toMatch(ways);
  });

  test("without CMake", () => {
    script("c++", "exit 0");
    const { code, stderr } = install({ LIBTORCH: stamp.libtorch });
    expect(code).toBe(1);
    expect(stderr).toContain("There is no CMake");
    expect(stderr).toMatch(ways);
  });
});

describe("npm install brings libtorch", () => {
  // A wheel of one file per kind, handed out by a pip that is ours; unpacking is the real thing.
  const python = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).stdout.trim();
  const wheel = `
import sys, zipfile
folder = sys.argv[sys.argv.index("--dest") + 1]
with zipfile.ZipFile(folder + "/torch.whl", "w") as archive:
    for name in ["lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so", "lib/libtorch_python.so", "include/ATen/ATen.h", "nn/functional.py"]:
        archive.writestr(zipfile.ZipInfo("torch/" + name), name)
    archive.writestr(zipfile.ZipInfo("torch/include/torch/headeronly/version.h"), '#define TORCH_VERSION "${stamp.version}"')
`;

  /** Puts our pip on the PATH, and answers the SHA-256 of the wheel that it hands out. */
  function handOutWheel(): string {
    const pip = join(copy, "pip.py");
    writeFileSync(pip, wheel);
    script(
      "python3",
      `case "$*" in *--version) exit 0;; *download*) exec ${python} ${pip} "$@";; esac; exec ${python} "$@"`,
    );
    spawnSync(python, [pip, "--dest", copy]);
    return createHash("sha256")
      .update(readFileSync(join(copy, "torch.whl")))
      .digest("hex");
  }

  /** As if that sum had been published. */
  function publish(sum: string): void {
    const file = join(copy, "native/setup/bring-libtorch.mjs");
    const sums = /publishedSums = \{[^}]*\}/;
    expect(readFileSync(file, "utf8")).toMatch(sums);
    writeFileSync(file, readFileSync(file, "utf8").replace(sums, `publishedSums = { x64: "${sum}", arm64: "${sum}" }`));
  }

  test("but refuses a wheel that is not the published one, and unpacks nothing of it", () => {
    const [sum, published] = [handOutWheel(), "0".repeat(64)];
    publish(published);
    const { code, stderr } = install();
    expect(code).toBe(1);
    expect(stderr).toContain(
      `torch.whl is not the published wheel: its SHA-256 is ${sum}, but ${published} was published`,
    );
    expect(stderr).toMatch(ways);
    expect(readdirSync(join(copy, ".libtorch"))).toEqual([]);
  });

  test("without Python's own library, and leaves nothing else behind", () => {
    publish(handOutWheel());
    const { stdout, stderr } = install();
    expect(stdout).toContain("is in place");
    expect(stderr).toContain("There is no C++ compiler"); // and so goes on to the next step
    const [made, ...rest] = readdirSync(join(copy, ".libtorch"));
    expect(rest).toEqual([]);
    const files = readdirSync(join(copy, ".libtorch", made ?? ""), { recursive: true }).map(String);
    expect(files).toEqual(expect.arrayContaining(["lib/libtorch.so", "include/ATen/ATen.h"]));
    expect(files.filter((file) => /python|nn/.test(file))).toEqual([]);
  });

  test("into the user's cache where the package is a dependency", () => {
    const dependency = join(copy, "node_modules_of_a_project", "node_modules", "attribution");
    mkdirSync(join(dependency, ".."), { recursive: true });
    cpSync(join(copy, "native"), join(dependency, "native"), { recursive: true });
    script("python3", 'case "$*" in *--version) exit 0;; esac; exit 1');
    const answer = spawnSync(process.execPath, [join(dependency, "native/setup/install.mjs")], {
      env: { PATH: bin, HOME: copy },
      encoding: "utf8",
    });
    expect(answer.stdout).toContain(`to ${join(copy, ".cache/attribution/libtorch-")}`);
    expect(existsSync(join(dependency, ".libtorch"))).toBe(false);
  });
});

test("npm install compiles nothing when nothing is left to do", () => {
  const answer = spawnSync(process.execPath, [join(root, "native/setup/install.mjs")], {
    env: { PATH: bin, LIBTORCH: stamp.libtorch },
    encoding: "utf8",
  });
  expect(answer.stdout).toContain("up to date");
  expect(answer.stdout).not.toContain("compiling");
});
