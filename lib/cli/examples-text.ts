// The examples at the end of a command's help.

/** Lines of "command   what it does". */
export function examplesText(...examples: readonly (readonly [command: string, what: string])[]): string {
  return `\nExamples\n${examples.map(([command, what]) => `  $ ${command}\n      ${what}`).join("\n")}`;
}
