// node store-query-child.js JOB: asks a store once and prints seconds, peak resident memory and the scores. Linux only.
import { readFileSync } from "node:fs";
import { askStore, jobOf, type StoreAnswer } from "./cases/store-query";

async function asked(text: string): Promise<StoreAnswer> {
  const { seconds, scores } = await askStore(jobOf(text));
  const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
  return { seconds, peak, scores: Array.from(scores) };
}

void asked(process.argv[2]).then((answer) => console.log(JSON.stringify(answer)));
