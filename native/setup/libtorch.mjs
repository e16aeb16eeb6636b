// Which libtorch: LIBTORCH, LIBTORCH_USE_PYTORCH=1, our own copy, and else a copy made now. The first that is named is the one:
// a wrong LIBTORCH is an error and not a reason to take another.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { bringLibtorch, otherWays } from "./bring-libtorch.mjs";
import { libtorchVersion, oldestLibtorch, ownLibtorch, setupCommand } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError } from "./say.mjs";

/** { folder, version, from }: a folder with include/ and lib/, as a real path. `bring: false` answers undefined instead of fetching. */
export async function findLibtorch({ bring = true } = {}) {
  const { LIBTORCH, LIBTORCH_USE_PYTORCH } = process.env;
  if (LIBTORCH) return inspected(resolve(LIBTORCH), `LIBTORCH=${LIBTORCH}`);
  if (LIBTORCH_USE_PYTORCH && LIBTORCH_USE_PYTORCH !== "0")
    return inspected(await folderOfPyTorch(), "LIBTORCH_USE_PYTORCH (the torch of python3)");
  const own = ownLibtorch();
  if (!existsSync(own)) {
    if (!bring) return undefined;
    await bringLibtorch(own);
  }
  return inspected(own, "our own copy");
}

async function folderOfPyTorch() {
  const code =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
  const answer = await run("python3", ["-c", code]);
  const folder = answer.code === 0 ? answer.stdout.trim() : "";
  if (folder) return folder;
  throw new SetupError(
    answer.missing
      ? "LIBTORCH_USE_PYTORCH is set, but there is no python3 on PATH."
      : "LIBTORCH_USE_PYTORCH is set, but the python3 on PATH has no torch.",
    [
      "Activate the environment that has PyTorch, or install it there",
      `Unset LIBTORCH_USE_PYTORCH: ${setupCommand} then brings its own libtorch`,
      otherWays[0],
    ],
    answer.missing ? "" : answer.output,
  );
}

function inspected(folder, from) {
  const lacks = ["lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so", "include/ATen/ATen.h"].filter(
    (file) => !existsSync(join(folder, file)),
  );
  const ways = [
    "Point LIBTORCH at the folder that holds lib/ and include/ (an unpacked libtorch, or the `torch` folder of a PyTorch installation)",
    `Unset LIBTORCH and LIBTORCH_USE_PYTORCH: ${setupCommand} then brings its own libtorch`,
  ];
  if (lacks.length > 0) {
    const what = existsSync(folder) ? `has no ${lacks.join(", ")}` : "does not exist";
    if (folder === ownLibtorch()) ways.unshift(`Remove ${folder} and run ${setupCommand} again`);
    throw new SetupError(`Expected a libtorch folder by ${from}, but ${folder} ${what}.`, ways);
  }
  const version = versionOf(folder);
  if (isOlder(version, oldestLibtorch)) {
    throw new SetupError(
      `${folder} (by ${from}) is libtorch ${version}; attribution needs ${oldestLibtorch} or newer and is made for ${libtorchVersion}.`,
      ways,
    );
  }
  return { folder: realpathSync(folder), version, from };
}

/** As its headers state it, without "+cpu". */
function versionOf(folder) {
  for (const header of ["include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"]) {
    const path = join(folder, header);
    const found = existsSync(path) && /define TORCH_VERSION\s+(?:\\\s*)?"([^"]+)"/.exec(readFileSync(path, "utf8"));
    if (found) return found[1];
  }
  return "0.0.0 (no version header)";
}

function isOlder(version, than) {
  const parts = (text) => text.split(".").map((part) => Number.parseInt(part, 10));
  const [a, b] = [parts(version), parts(than)];
  const at = a.findIndex((part, i) => part !== b[i]);
  return at >= 0 && at < 3 && a[at] < b[at];
}
