// Where the hub and its cache are, and who asks: the environment variables of Python's huggingface_hub, with the same meaning.
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { expected } from "../errors";

export interface HubSettings {
  /** The hub's address, without a slash at its end. */
  readonly endpoint: string;
  /** The folder of all cached repositories. */
  readonly cache: string;
  readonly offline: boolean;
}

const defaultEndpoint = "https://huggingface.co";

/** HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_HUB_OFFLINE. */
export function hubSettings(): HubSettings {
  const endpoint = (variable("HF_ENDPOINT") ?? defaultEndpoint).replace(/\/+$/, "");
  if (!/^https?:\/\/[^/\s]+/.test(endpoint)) throw expected("HF_ENDPOINT", "an address such as https://…", endpoint);
  const cache = variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE");
  const offline = isOn("HF_HUB_OFFLINE") || isOn("TRANSFORMERS_OFFLINE");
  return { endpoint, cache: cache === undefined ? join(home(), "hub") : expanded(cache), offline };
}

/** HF_TOKEN, else the file that `hf auth login` writes; undefined where there is neither. It is sent to the endpoint only. */
export async function hubToken(): Promise<string | undefined> {
  const given = variable("HF_TOKEN") ?? variable("HUGGING_FACE_HUB_TOKEN");
  if (given !== undefined) return given.trim();
  if (isOn("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return undefined;
  const file = variable("HF_TOKEN_PATH");
  const text = await readFile(file === undefined ? join(home(), "token") : expanded(file), "utf8").catch(() => "");
  return text.trim() === "" ? undefined : text.trim();
}

function home(): string {
  const given = variable("HF_HOME");
  if (given !== undefined) return expanded(given);
  const caches = variable("XDG_CACHE_HOME");
  return join(caches === undefined ? join(homedir(), ".cache") : expanded(caches), "huggingface");
}

function variable(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value.trim() === "" ? undefined : value;
}

const isOn = (name: string): boolean => ["1", "ON", "YES", "TRUE"].includes((variable(name) ?? "").toUpperCase());

const expanded = (path: string): string => (/^~(?=\/|$)/.test(path) ? join(homedir(), path.slice(1)) : path);
