// Lets long parsing loops give the event loop back: call the pacer often, await what it returns when it returns something.

const longestSlice = 6; // ms

/** A function that answers a promise to await once the current slice is used up, and undefined until then. */
export function pacer(): () => Promise<void> | undefined {
  let started = performance.now();
  return () => {
    if (performance.now() - started < longestSlice) return undefined;
    return new Promise<void>((resolve) => {
      setImmediate(() => {
        started = performance.now();
        resolve();
      });
    });
  };
}
