// A session that writes into a string.
import { type Session, startSession } from "../../lib/cli/session";
import { openTerminal } from "../../lib/cli/terminal";

export interface QuietSession {
  readonly session: Session;
  written(): string;
  /** What each step said at its end. */
  readonly outcomes: ReadonlyMap<string, string | undefined>;
}

export function quietSession(seed: number): QuietSession {
  let written = "";
  const outcomes = new Map<string, string | undefined>();
  const stream = { write: (text: string) => void (written += text) };
  const terminal = openTerminal({ stdout: stream, stderr: stream, env: {}, quiet: false });
  const startStep = (title: string) => ({
    onProgress: () => undefined,
    done: (outcome?: string) => void outcomes.set(title, outcome),
  });
  return { session: startSession({ seed, terminal: { ...terminal, startStep } }), written: () => written, outcomes };
}
