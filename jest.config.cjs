// Two workers on two cores: threads of libtorch that wait for each other would only wait for their turn (tiny models run 10 times slower).
process.env.ATTRIBUTION_THREADS ??= "1";
// No test asks the real hub; those of the hub have a server of their own.
process.env.HF_HUB_OFFLINE ??= "1";

module.exports = {
  testEnvironment: "node",
  // Only these folders are crawled: libtorch alone has 9,000 files.
  roots: ["<rootDir>/test", "<rootDir>/lib", "<rootDir>/types"],
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  transform: {
    "\\.ts$": [
      "@swc/jest",
      {
        swcrc: false,
        jsc: { parser: { syntax: "typescript" }, target: "es2022" },
        module: { type: "commonjs" },
        sourceMaps: "inline",
      },
    ],
  },
  // After the default report: the tests that did not run, and what they need.
  reporters: ["default", "<rootDir>/test/setup/needs-reporter.cjs"],
  maxWorkers: 2, // each has a libtorch of its own
  testTimeout: 600_000, // ends what hangs; on a busy machine everything takes longer
};
