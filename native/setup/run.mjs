import { spawn } from "node:child_process";

/**
 * Runs a program and waits: { code, output, stdout, missing }; `missing` where there is no such program. What it prints is shown
 * as it comes (`show: "all"`, or "stdout" alone), and kept where it is not shown.
 */
export function run(program, args, { show = "nothing", cwd, env = process.env } = {}) {
  const stdio = ["ignore", show === "nothing" ? "pipe" : "inherit", show === "all" ? "inherit" : "pipe"];
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env, stdio });
    let output = "";
    let stdout = "";
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      output += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.on("error", (error) => {
      const missing = error.code === "ENOENT" || error.code === "EACCES";
      if (missing) resolve({ code: 127, output: error.message, stdout: "", missing });
      else reject(error);
    });
    child.on("close", (code, signal) => {
      resolve({ code: code ?? 128, output: signal ? `${output}\nended by ${signal}` : output, stdout, missing: false });
    });
  });
}
