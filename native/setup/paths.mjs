import { homedir } from "node:os";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The libtorch that the library is made for and that the set-up brings. */
export const libtorchVersion = "2.13.0";

/** The oldest whose wheels have the C++ ABI and the C++ 20 headers that we need. */
export const oldestLibtorch = "2.7.0";

/** Where node-gyp-build looks first. */
export const releaseFolder = join(root, "build", "Release");
export const addonFile = join(releaseFolder, "attribution.node");
export const cmakeFolder = join(root, "build", "cmake");
export const prebuildFolder = join(root, "prebuilds", `${process.platform}-${process.arch}`);

/** What is written last beside an addon: what it was made of. */
export const stampName = "attribution.json";

/** Installed into another project, rather than a clone. */
export const isDependency = root.split(sep).includes("node_modules");

/** The command that runs the set-up. A dependency has no install script: package managers do not run them. */
export const setupCommand = isDependency ? "npx attribution setup" : "npm install";

/**
 * Our own copy of libtorch. A clone keeps it in its own tree. A package in node_modules keeps it in the user's cache, since
 * `npm ci` and every other project would have to fetch the 190 MB again.
 */
export function ownLibtorch() {
  const name = `libtorch-${libtorchVersion}-cpu-${process.platform}-${process.arch}`;
  return isDependency
    ? join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "attribution", name)
    : join(root, ".libtorch", name);
}
