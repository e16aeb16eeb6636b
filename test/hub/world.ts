// An environment for tests of the hub: a cache of its own, and a server in place of the real hub.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FakeHub, type FakeRepository, startHub } from "./hub-server";

const names = [
  "HF_ENDPOINT",
  "HF_HOME",
  "HF_HUB_CACHE",
  "HF_HUB_OFFLINE",
  "HF_TOKEN",
  "HF_TOKEN_PATH",
  "HUGGINGFACE_HUB_CACHE",
  "HUGGING_FACE_HUB_TOKEN",
] as const;

export interface HubWorld extends FakeHub {
  /** The folder of the cache. */
  readonly cache: string;
}

/** Runs `use` with a fresh cache, the server's address in the environment, and no token. */
export async function withHub(repository: FakeRepository, use: (world: HubWorld) => Promise<void>): Promise<void> {
  const before = new Map(names.map((name) => [name, process.env[name]]));
  const home = mkdtempSync(join(tmpdir(), "attribution-hub-"));
  const hub = await startHub(repository);
  for (const name of names) delete process.env[name];
  process.env["HF_HOME"] = home;
  process.env["HF_ENDPOINT"] = hub.endpoint;
  try {
    await use({ ...hub, cache: join(home, "hub") });
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    await hub.close();
    rmSync(home, { recursive: true, force: true });
  }
}
