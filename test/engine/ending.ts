// Ends of a process or a worker while a native job runs. Started by process.test.ts: `node --require typescript.cjs ending.ts WAY`.
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { midSizeInstances, midSizeModel } from "./mid-size";

const say = (words: string): void => {
  process.stdout.write(`${words}\n`);
};
const minutes = { epochs: 1000, batchSize: 4 };

/** Starts a job that would take minutes, and calls back once it runs. */
async function longJob(began: () => void): Promise<void> {
  const model = await midSizeModel();
  let isFirst = true;
  await fineTune(model, midSizeInstances(100), {
    ...minutes,
    onProgress: () => {
      if (isFirst) began();
      isFirst = false;
    },
  });
}

async function terminate(): Promise<void> {
  // Also a worker with a call that waits behind another one's.
  const workers = [new Worker(__filename), new Worker(__filename)];
  await Promise.race(
    workers.map(
      (worker) =>
        new Promise<void>((resolve) => {
          worker.once("message", () => resolve());
        }),
    ),
  );
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  await Promise.all(workers.map((worker) => worker.terminate()));
  const model = await midSizeModel();
  const { losses } = await evaluate(model, midSizeInstances(3));
  say(`alive with ${losses.length} losses`);
}

const ways: Readonly<Record<string, () => Promise<unknown>>> = {
  terminate,
  exit: () => longJob(() => process.exit(3)),
  throw: () =>
    longJob(() => {
      setImmediate(() => {
        throw new Error("nobody catches this");
      });
    }),
  /** Without waiting for the promise: the process ends by itself once the call is done. */
  leave: async () => {
    const model = await midSizeModel();
    void evaluate(model, midSizeInstances(20)).then(({ losses }) => say(`left with ${losses.length} losses`));
  },
  signal: () =>
    longJob(() => {
      process.kill(process.pid, "SIGTERM");
    }),
};

if (isMainThread) void ways[process.argv[2]]();
else void longJob(() => parentPort?.postMessage("began"));
