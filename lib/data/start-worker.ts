// Starts a worker thread from one of the library's own files.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker, type WorkerOptions } from "node:worker_threads";

/** The compiled file in the folder; where there is none, TypeScript is being run from source (by the tests). */
export function startWorker(folder: string, name: string, options: WorkerOptions): Worker {
  const compiled = join(folder, `${name}.js`);
  if (existsSync(compiled)) return new Worker(compiled, { execArgv: [], ...options });
  const workerData = { ...(options.workerData as object | undefined), file: join(folder, `${name}.ts`) };
  return new Worker(fromSource, { execArgv: [], ...options, eval: true, workerData });
}

const fromSource = `
  const { readFileSync } = require("node:fs");
  const requireFrom = require("node:module").createRequire(require("node:worker_threads").workerData.file);
  const { transformSync } = requireFrom("@swc/core");
  const module_ = { type: "commonjs", ignoreDynamic: true };
  const options = { swcrc: false, jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: module_ };
  require.extensions[".ts"] = (module, filename) =>
    module._compile(transformSync(readFileSync(filename, "utf8"), { ...options, filename }).code, filename);
  requireFrom(require("node:worker_threads").workerData.file);
`;
