// Prints the tests that did not run, with what they need; a test that is skipped without saying so fails the run.
module.exports = class NeedsReporter {
  constructor(globalConfig) {
    // With a pattern of names, jest counts the other tests as skipped.
    this.isWhole = !globalConfig.testNamePattern;
  }

  onRunComplete(_contexts, { testResults }) {
    if (!this.isWhole) return;
    const tests = testResults.flatMap((file) => file.testResults);
    const skipped = tests.filter(({ status }) => ["pending", "todo", "disabled"].includes(status));
    const names = [...new Set(skipped.map(({ fullName }) => fullName))];
    const needy = names.filter((name) => name.includes("(needs "));
    if (needy.length > 0) process.stderr.write(`\nDid not run:\n${needy.map((name) => `  ${name}\n`).join("")}`);
    this.silent = names.filter((name) => !name.includes("(needs "));
  }

  getLastError() {
    if (!this.silent?.length) return undefined;
    return new Error(`Skipped without a need (test/needs.ts): ${this.silent.join("; ")}`);
  }
};
