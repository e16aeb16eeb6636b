// How the set-up speaks: short lines on what it does; one message, with the ways to mend it, where it cannot go on.

export function say(line) {
  console.log(`attribution: ${line}`);
}

/** A failure that the reader can mend: what is wrong, and the ways. */
export class SetupError extends Error {
  constructor(message, ways = [], detail = "") {
    super(message);
    this.ways = ways;
    this.detail = detail;
  }
}

/** Runs a script; a SetupError becomes one message and exit code 1. */
export async function main(run) {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const detail = error.detail.trim() ? `\n${error.detail.trim().replace(/^/gm, "  | ")}\n` : "";
    const ways =
      error.ways.length === 0 ? "" : `\nAny of these mends it:\n${error.ways.map((way) => `  - ${way}`).join("\n")}\n`;
    console.error(`\nattribution: ${error.message}\n${detail}${ways}`);
    process.exitCode = 1;
  }
}

export function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
