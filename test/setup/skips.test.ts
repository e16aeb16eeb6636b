// No test is skipped in silence: test/needs.ts alone skips, and the run prints what a skipped test needs.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(__dirname, "..");
const skipping = /\b(?:test|it|describe)\s*\.\s*(?:skip|only|todo)\b|\bx(?:it|test|describe)\(|\bfdescribe\(/;

test("only test/needs.ts skips tests", () => {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const found = files.filter((name) => skipping.test(readFileSync(join(folder, name), "utf8")));
  expect(found).toEqual(["needs.ts"]);
});

describe("the reporter", () => {
  const Reporter = jest.requireActual<
    new (config: { testNamePattern?: string }) => {
      onRunComplete(contexts: unknown, results: unknown): void;
      getLastError(): Error | undefined;
    }
  >("./needs-reporter.cjs");
  const resultsOf = (...skipped: readonly string[]) => ({
    testResults: [
      {
        testResults: [
          { fullName: "runs", status: "passed" },
          ...skipped.map((fullName) => ({ fullName, status: "pending" })),
        ],
      },
    ],
  });
  let printed: jest.SpyInstance;
  beforeEach(() => {
    printed = jest.spyOn(process.stderr, "write").mockReturnValue(true);
  });
  afterEach(() => printed.mockRestore());

  test("prints what a test needs, and lets the run pass", () => {
    const reporter = new Reporter({});
    reporter.onRunComplete(undefined, resultsOf("a case (needs torch)"));
    expect(printed).toHaveBeenCalledWith(expect.stringContaining("a case (needs torch)"));
    expect(reporter.getLastError()).toBeUndefined();
  });

  test("fails the run for any other skipped test", () => {
    const reporter = new Reporter({});
    reporter.onRunComplete(undefined, resultsOf("forgotten"));
    expect(reporter.getLastError()).toMatchObject({ message: expect.stringContaining("forgotten") });
  });

  test("says nothing where tests are chosen by name", () => {
    const reporter = new Reporter({ testNamePattern: "one" });
    reporter.onRunComplete(undefined, resultsOf("another"));
    expect(printed).not.toHaveBeenCalled();
    expect(reporter.getLastError()).toBeUndefined();
  });
});
