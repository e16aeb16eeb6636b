// `npm run test:sanitize`: all objects with AddressSanitizer and UBSan, in build/sanitize; then the C++ tests, and in a Node that has the
// sanitizers' libraries, the catalogue of methods and the misuse of every function. The first report ends it.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { compile, putAddon, requireTools } from "./build.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { root } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, main, say } from "./say.mjs";
import { hashOfSources } from "./sources.mjs";

const folder = join(root, "build", "sanitize");
const testFiles = ["test/neuron/catalogue.test.ts", "test/engine/misuse.test.ts", "test/engine/mapped-files.test.ts"];
const environment = {
  ...process.env,
  // libtorch and Node keep memory to their end; V8 has its own handlers and address space.
  ASAN_OPTIONS: "detect_leaks=0:alloc_dealloc_mismatch=0:protect_shadow_gap=0:allocator_may_return_null=1",
  UBSAN_OPTIONS: "print_stacktrace=1:halt_on_error=1",
  ATTRIBUTION_THREADS: process.env.ATTRIBUTION_THREADS ?? "1",
};

await main(async () => {
  await requireTools();
  const libtorch = await findLibtorch();
  for (const target of ["attribution_tests", "attribution"]) {
    say(`compiling ${target} with the sanitizers`);
    await compile(target, libtorch, { sanitize: true, folder });
  }
  await step("the C++ tests", join(folder, "attribution_tests"), [], environment);
  // node-gyp-build looks for build/Release in the folder that this variable names.
  const addon = join(folder, "package");
  const to = join(addon, "build", "Release");
  await putAddon(join(folder, "Release", "attribution.node"), libtorch, {
    to,
    sources: hashOfSources(),
    how: "sanitized",
  });
  const jest = join(dirname(createRequire(import.meta.url).resolve("jest/package.json")), "bin", "jest.js");
  await step("the catalogue and misuse", process.execPath, [jest, "--runInBand", ...testFiles], {
    ...environment,
    ATTRIBUTION_PREBUILD: addon,
    LD_PRELOAD: (await Promise.all(["libasan.so", "libubsan.so"].map(libraryOf))).join(":"),
  });
  say("the sanitizers found nothing");
});

/** The compiler's own library of that name. */
async function libraryOf(name) {
  const answer = await run(process.env.CXX?.split(" ")[0] ?? "c++", [`-print-file-name=${name}`]);
  const path = answer.stdout.trim();
  if (answer.code === 0 && existsSync(path)) return path;
  throw new SetupError(`The compiler has no ${name}.`, [
    "Install it (Debian, Ubuntu: apt-get install libasan8 libubsan1)",
  ]);
}

async function step(what, program, args, env) {
  say(`running ${what}`);
  const answer = await run(program, args, { show: "all", cwd: root, env });
  if (answer.code !== 0) throw new SetupError(`${what} failed under the sanitizers (see above).`);
}
