// Where the benchmarks' sources lie (README, Python references), also when this runs from dist/.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { AttributionError } from "../lib/errors";

export function benchmarkFolder(): string {
  for (let folder = __dirname; dirname(folder) !== folder; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return join(folder, "benchmarks");
  }
  throw new AttributionError("missing", "The project's folder was not found around the benchmarks");
}
