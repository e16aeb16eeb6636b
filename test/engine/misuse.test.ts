// Every public function with every argument replaced by what it is not: refused with a code and words that name what was expected,
// never a TypeError from within, and the same call works afterwards.
import { AttributionError } from "../../lib/errors";
import { scratch } from "../storage/bytes";
import { type Call, everyCall, otherForms, publicFunctions, runCall as run } from "./every-call";

const directory = scratch();
let calls: ReadonlyMap<string, () => Call>;
beforeAll(async () => {
  calls = await everyCall(directory);
});

const names = [...publicFunctions, ...otherForms];

const cyclic: Record<string, unknown> = {};
cyclic["self"] = cyclic;
/** Values that no argument of any function may be. */
const never: readonly unknown[] = [
  null,
  NaN,
  -1,
  true,
  Symbol("s"),
  10n,
  new Map([[1, 2]]),
  new Date(0),
  Promise.resolve(1),
  [null],
  cyclic,
  { kind: "instances" },
  { kind: "neurons" },
  { kind: "gradientStore" },
];
/** Places where some of them are right, or say nothing: a second argument that JSON may hold, options that have a kind. */
const harmless = new Set(["createTokenizer 1", "load 1"]);

test("the table has every public function", () => expect([...calls.keys()].sort()).toEqual([...names].sort()));

test.each(names)("%s refuses wrong arguments by name, and works afterwards", async (name) => {
  const make = calls.get(name)!;
  for (let at = 0; at < make().length; at++) {
    for (const value of harmless.has(`${name} ${at}`) ? [null, true] : never) {
      const given = [...make()];
      given[at] = value;
      const error = await run(name, given).then(
        () => "answered",
        (thrown: unknown) => thrown,
      );
      if (!(error instanceof AttributionError) || error.code === "native")
        throw new Error(
          `argument ${at} = ${typeof value === "symbol" ? "a symbol" : typeof value}: ${String((error as Error).stack ?? error)}`,
        );
      expect(error.message.length).toBeGreaterThan(15);
    }
  }
  await run(name, make());
});

describe("options", () => {
  /** Functions that take them, with the place. */
  const withOptions = (): [string, () => Call, number][] =>
    [...calls].flatMap(([name, make]): [string, () => Call, number][] => {
      const at = name === "planGradientStore" ? 2 : make().length - 1;
      return [
        "createInstances",
        "selectInstances",
        "select",
        "top",
        "createTokenizer",
        "renderReport",
        "writeReport",
        "compareCurves",
        "concatInstances",
        "diversityCorrelation",
        "globalRanking",
        "joinSubsetOutputs",
        "openTokenizer",
        "saveTokenizer",
        "withPadToken",
        "readNeuronRow",
        "save",
        "wordTargets",
      ].includes(name)
        ? []
        : [[name, make, at]];
    });

  test("that nobody has are refused, with the one that was meant", async () => {
    for (const [name, make, at] of withOptions()) {
      const given = make().map((value, i) => (i === at ? { ...(value as object), batchTokns: 1 } : value));
      const error: unknown = await run(name, given).catch((thrown: unknown) => thrown);
      const [refused, words] = ["unknown", expect.stringContaining('"batchTokns"') as string];
      expect([name, error]).toMatchObject([name, { name: "AttributionError", code: refused, message: words }]);
    }
    await expect(run("evaluate", [...calls.get("evaluate")!().slice(0, 2), { batchTokns: 1 }])).rejects.toThrow(
      'did you mean "batchTokens"?',
    );
  });

  test("signal and onProgress are checked before anything is begun, and an aborted signal ends the call", async () => {
    for (const [name, make, at] of withOptions()) {
      const change = (options: object): Call =>
        make().map((value, i) => (i === at ? { ...(value as object), ...options } : value));
      const error = await run(name, change({ signal: {}, onProgress: 7 })).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(AttributionError);
      if ((error as AttributionError).code === "unknown") continue; // takes neither
      const words = expect.stringMatching(/"signal"/) as string;
      expect([name, error]).toMatchObject([name, { code: "invalid", message: words }]);
      await expect(run(name, change({ onProgress: 7 }))).rejects.toMatchObject({
        code: expect.stringMatching(/invalid|unknown/) as string,
        message: expect.stringMatching(/onProgress/) as string,
      });
      const stopped = await run(name, change({ signal: AbortSignal.abort("enough") })).catch(
        (thrown: unknown) => thrown,
      );
      expect([name, (stopped as AttributionError).code, (stopped as AttributionError).cause]).toEqual([
        name,
        "aborted",
        "enough",
      ]);
    }
  });
});
