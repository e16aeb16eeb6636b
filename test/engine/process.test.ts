// The host process lives on, or ends as it was asked to, whatever a native job is doing.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

function end(way: string): { status: number | null; signal: string | null; out: string; error: string } {
  const answer = spawnSync(
    process.execPath,
    ["--require", join(__dirname, "typescript.cjs"), join(__dirname, "ending.ts"), way],
    { encoding: "utf8", timeout: 500_000 },
  );
  return { status: answer.status, signal: answer.signal, out: answer.stdout.trim(), error: answer.stderr.trim() };
}

describe("while a job runs", () => {
  test("worker.terminate() ends the worker, and the process goes on and computes", () => {
    expect(end("terminate")).toEqual({ status: 0, signal: null, out: "alive with 3 losses", error: "" });
  });

  test("process.exit() exits with its code, without a crash", () => {
    expect(end("exit")).toEqual({ status: 3, signal: null, out: "", error: "" });
  });

  test("an uncaught exception ends the process as it does without us", () => {
    const { status, signal, error } = end("throw");
    expect({ status, signal }).toEqual({ status: 1, signal: null });
    expect(error).toContain("nobody catches this");
  });

  test("a signal ends it by that signal", () => {
    expect(end("signal")).toMatchObject({ status: null, signal: "SIGTERM", error: "" });
  });

  test("a promise that nobody awaits keeps the process until it settles, and no longer", () => {
    expect(end("leave")).toEqual({ status: 0, signal: null, out: "left with 20 losses", error: "" });
  });
});
