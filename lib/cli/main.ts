#!/usr/bin/env node
// `attribution`: the command line. One file per command in commands/; here are the program, its exit codes and Ctrl-C.
import { Command, CommanderError } from "commander";
import { AttributionError } from "../errors";
import { libraryVersion } from "../provenance";
import { demoCommand } from "./commands/demo";
import { doctorCommand } from "./commands/doctor";
import { evaluateCommand } from "./commands/evaluate";
import { explainCommand } from "./commands/explain";
import { indexCommand } from "./commands/index-store";
import { methodsCommand } from "./commands/methods";
import { modelsCommand } from "./commands/models";
import { neuronsCommand } from "./commands/neurons";
import { queryCommand } from "./commands/query";
import { reportCommand } from "./commands/report";
import { runCommand } from "./commands/run";
import { setupCommand } from "./commands/setup";
import { trainCommand } from "./commands/train";
import { type Context, contextOf } from "./context";
import { openTerminal, type TerminalOptions } from "./terminal";

/** 0: done. 1: failed. 2: wrong use. 130: stopped by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | 130;

export interface CommandLine extends Omit<TerminalOptions, "quiet"> {
  readonly signal: AbortSignal;
}

export type AddCommand = (program: Command, contextOfRun: () => Context) => void;

const commands: readonly AddCommand[] = [
  runCommand,
  explainCommand,
  indexCommand,
  queryCommand,
  neuronsCommand,
  evaluateCommand,
  trainCommand,
  reportCommand,
  modelsCommand,
  methodsCommand,
  doctorCommand,
  demoCommand,
  setupCommand,
];

/** Runs one command line; never throws. */
export async function runCommandLine(args: readonly string[], line: CommandLine): Promise<ExitCode> {
  const program = programOf(line);
  try {
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    return failed(error, line);
  }
}

function programOf(line: CommandLine): Command {
  const program = new Command("attribution")
    .description("Which training instances and which neurons does a language model's prediction come from?")
    .version(libraryVersion(), "--version", "print the version")
    .option("--quiet", "no progress and no notes")
    .helpOption("--help", "show this text")
    .helpCommand(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => line.stdout.write(text),
      writeErr: (text) => line.stderr.write(text),
      getOutHelpWidth: () => line.stdout.columns ?? 100,
      getErrHelpWidth: () => line.stderr.columns ?? 100,
    })
    .addHelpText(
      "after",
      "\nEach command has its own --help with examples.\nExit codes: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C.",
    );
  const context = (): Context =>
    contextOf(openTerminal({ ...line, quiet: program.opts()["quiet"] === true }), line.signal);
  for (const add of commands) add(program, context);
  inherit(program);
  return program;
}

/** Every command has --quiet behind its name, too, and ends the way the program does. */
function inherit(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent).helpOption("--help", "show this text");
    command.option("--quiet", "no progress and no notes").on("option:quiet", () => {
      for (let at: Command | null = command; at !== null; at = at.parent) at.setOptionValue("quiet", true);
    });
    inherit(command);
  }
}

function failed(error: unknown, { stderr, signal }: CommandLine): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (signal.aborted || (error instanceof AttributionError && error.code === "aborted")) {
    stderr.write("\nattribution: stopped\n");
    return 130;
  }
  const isOurs = error instanceof AttributionError;
  stderr.write(`attribution: ${isOurs ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  return isOurs && (error.code === "invalid" || error.code === "unknown") ? 2 : 1;
}

async function main(): Promise<void> {
  const stop = new AbortController();
  process.on("SIGINT", () => {
    stop.abort();
    // Everything on disk is whole at any moment, so that a step that does not look at its signal may be cut off.
    setTimeout(() => process.exit(130), 800).unref();
  });
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  const { stdout, stderr, env } = process;
  process.exitCode = await runCommandLine(process.argv.slice(2), { stdout, stderr, env, signal: stop.signal });
}

if (require.main === module) void main();
