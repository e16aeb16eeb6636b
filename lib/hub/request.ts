// Requests to the hub: again where its answer may be better the next time, and in one sentence where there is none.
import { AttributionError } from "../errors";
import { stopIfAborted } from "../pacing";
import type { Repository } from "./repository";
import { hubToken, type HubSettings } from "./settings";

/** A fetch whose answer is good; anything else is an AttributionError. The token goes to the endpoint only. */
export type HubRequest = (url: string, headers?: Readonly<Record<string, string>>) => Promise<Response>;

/** Waits before the second and the third try. */
const waits = [200, 1000]; // ms
const longestSilence = 30_000; // ms until the headers of an answer

export async function hubRequests(
  repository: Repository,
  settings: HubSettings,
  signal: AbortSignal | undefined,
): Promise<HubRequest> {
  const token = await hubToken();
  const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return async (url, headers = {}) => {
    const isOwn = new URL(url).origin === new URL(settings.endpoint).origin;
    for (let tries = 0; ; tries++) {
      const last = tries === waits.length;
      const answer = await fetched(url, { ...(isOwn ? authorization : {}), ...headers }, signal).catch(
        (cause: unknown) => {
          stopIfAborted(signal);
          if (last) throw unreachable(repository, settings, cause);
          return undefined;
        },
      );
      if (answer?.ok) return answer;
      await answer?.body?.cancel();
      const mayRecover = answer === undefined || answer.status >= 500 || answer.status === 429;
      if (answer !== undefined && (last || !mayRecover))
        throw refused(repository, settings, answer, token !== undefined);
      await pause(waits[tries], signal);
    }
  };
}

async function fetched(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error("no answer in time")), longestSilence);
  const signals = signal === undefined ? [silence.signal] : [silence.signal, signal];
  try {
    return await fetch(url, { headers: { ...headers }, signal: AbortSignal.any(signals) });
  } finally {
    clearTimeout(timer);
  }
}

/** Waits, or rejects with "aborted" as soon as the signal fires. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  stopIfAborted(signal);
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done, { once: true });
  });
  stopIfAborted(signal);
}

/** Why nothing came: the innermost reason that the network gives. */
export function reasonOf(error: unknown): string {
  const { cause, code, message } = error as { cause?: unknown; code?: string; message?: string };
  return cause !== undefined && cause !== error ? reasonOf(cause) : (code ?? message ?? String(error));
}

function unreachable({ id }: Repository, { endpoint, cache }: HubSettings, cause: unknown): AttributionError {
  return new AttributionError(
    "network",
    `No connection to ${endpoint} (${reasonOf(cause)}), and "${id}" is not whole in the cache ${cache}. Check the network, or give a path`,
    { cause },
  );
}

function refused(
  { id, type }: Repository,
  { endpoint }: HubSettings,
  { status, headers }: Response,
  hasToken: boolean,
): AttributionError {
  const what = `the ${type === "model" ? "model" : "data set"} "${id}"`;
  const reason = headers.get("x-error-code") ?? "";
  if (reason === "GatedRepo")
    return new AttributionError(
      "denied",
      `The hub gives ${what} only to those who accepted its terms (${status}). Accept them at ${endpoint}/${type === "model" ? "" : "datasets/"}${id}, and set HF_TOKEN`,
    );
  if (status === 404 && reason === "RevisionNotFound")
    return new AttributionError("missing", `The hub has no such revision of ${what} (404). Give another "revision"`);
  if (status === 404 && reason === "EntryNotFound")
    return new AttributionError("missing", `The hub lists a file of ${what} that it does not have (404). Try again`);
  if (status === 404 || (status === 401 && reason === "RepoNotFound"))
    return new AttributionError(
      "missing",
      `The hub ${endpoint} has no ${what.slice(4)}, or it is private (${status}). Check the name, give a path, or set HF_TOKEN`,
    );
  if (status === 401 || status === 403)
    return new AttributionError(
      "denied",
      `The hub refuses ${what} (${status}). ${hasToken ? "The token may not read it: set HF_TOKEN to another one" : "Set HF_TOKEN to a token that may read it"}`,
    );
  return new AttributionError("network", `The hub answers ${status} for ${what}. Try again later`);
}
