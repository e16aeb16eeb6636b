// Turns of the event loop for the long loops of this folder, and the one way they notice an abort.
import { AttributionError } from "../errors";
import { pacer } from "../storage/pace";

/** Rejects with "aborted" once the signal has fired. */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AttributionError("aborted", "The call was aborted", { cause: signal.reason });
}

/** Await it often: it gives the event loop back when the current slice is used up, and stops an aborted call. */
export function pacedBy(signal: AbortSignal | undefined): () => Promise<void> {
  const pace = pacer();
  return async () => {
    stopIfAborted(signal);
    await pace();
  };
}
