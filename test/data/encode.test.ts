// encode: parts tokenised alone and cut as METHODS says, labels by name, next tokens for causal LMs, and refusals.
import { join } from "node:path";
import { createDataset } from "../../lib/data/dataset";
import { encode, type EncodeOptions, type EncodingModel } from "../../lib/data/encode";
import { loadDataset } from "../../lib/data/load-dataset";
import { createTokenizer, openTokenizer } from "../../lib/data/tokenizer";
import type { Architecture, HeadKind } from "../../types/architecture";
import type { Dataset, Instances, Row, Tokenizer } from "../../types/data";
import { longestHold, shortestHold } from "./event-loop";
import { sharedData, testOnRealFiles } from "../needs";

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await openTokenizer(join(__dirname, "byte-bpe"));
});

const model = (kind: HeadKind, labels: readonly string[] = [], changes: Partial<Architecture> = {}): EncodingModel => ({
  tokenizer,
  labels,
  architecture: { vocabulary: 400, positions: 1024, head: { kind, labels: labels.length }, ...changes } as Architecture,
});
const data = (
  rows: (Omit<Row, "id" | "label"> & { label?: number })[],
  labels: readonly string[] = [],
): Promise<Dataset> =>
  createDataset(
    rows.map((row, index) => ({ id: `r${index}`, label: -1, ...row })),
    { labels },
  );
const ids = async (text: string, by = tokenizer): Promise<number[]> => Array.from((await by.encode([text]))[0]);
const rowsOf = (instances: Instances): number[][] =>
  Array.from({ length: instances.rowOffsets.length - 1 }, (_, row) =>
    Array.from(instances.tokens.subarray(instances.rowOffsets[row], instances.rowOffsets[row + 1])),
  );
const verdicts = ["Supported", "Refuted"];

describe("inputs", () => {
  test("the start token, then every part tokenised alone", async () => {
    const claims = await data([{ fields: { claim: "Oslo", evidence: "(0)where north" }, label: 1 }], verdicts);
    const made = await encode(model("classification", verdicts), claims);
    expect(rowsOf(made)).toEqual([
      [0, ...(await ids("Claim : Oslo")), ...(await ids("/ Evidence : (0)where north")), ...(await ids("/ Answer :"))],
    ]);
    expect([made.kind, made.size, Array.from(made.labels), made.ids, made.texts]).toEqual([
      "classification",
      1,
      [1],
      ["r0"],
      ["Claim : Oslo/ Evidence : (0)where north/ Answer :"],
    ]);
    expect(rowsOf(await encode(model("classification", verdicts), claims, { startToken: false }))[0]).toEqual(
      rowsOf(made)[0].slice(1),
    );
  });

  test("start and end tokens are those that the tokenizer's files ask for", async () => {
    const json = {
      added_tokens: [
        { id: 3, content: "<s>", special: true },
        { id: 4, content: "</s>", special: true },
      ],
      pre_tokenizer: { type: "Whitespace" },
      model: { type: "WordLevel", vocab: { a: 0, b: 1, c: 2 } },
    };
    const named = { bos_token: "<s>", eos_token: "</s>" };
    const template = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>" } }, { Sequence: { id: "A" } }, { SpecialToken: { id: "</s>" } }],
      special_tokens: { "<s>": { ids: [3] }, "</s>": { ids: [4] } },
    };
    const cases: [object, object, number[], number[]][] = [
      [json, named, [], []],
      [{ ...json, post_processor: template }, named, [3], [4]],
      [{ ...json, post_processor: template }, { ...named, add_bos_token: false }, [], []],
      [json, { ...named, add_bos_token: true }, [3], []],
      [json, { ...named, add_bos_token: true, add_eos_token: true }, [3], [4]],
      [json, { eos_token: "</s>", bos_token: null, add_bos_token: true }, [], []],
    ];
    for (const [source, config, start, end] of cases) {
      const own = await createTokenizer(source, config);
      expect([own.start, own.end]).toEqual([start, end]);
      const made = await encode({ ...model("causalLM"), tokenizer: own }, await data([{ fields: { text: "a b" } }]));
      expect(rowsOf(made)).toEqual([[...start, 0, 1, ...end]]);
      expect(made.added).toEqual({ start, end });
      const prompt = await encode(
        { ...model("causalLM"), tokenizer: own },
        await data([{ fields: { prompt: "a b" } }]),
      );
      expect(rowsOf(prompt)).toEqual([[...start, 0, 1]]);
    }
    const own = await createTokenizer(json, named);
    const forced = await encode({ ...model("causalLM"), tokenizer: own }, await data([{ fields: { text: "a" } }]), {
      startToken: true,
    });
    expect(rowsOf(forced)).toEqual([[3, 0]]);
  });

  test("too long: tokens are dropped from the end of the evidence", async () => {
    const claims = await data([{ fields: { claim: "Oslo", evidence: "a long evidence that is cut" } }], verdicts);
    const whole = rowsOf(await encode(model("classification", verdicts), claims))[0];
    const tail = (await ids("/ Answer :")).length;
    const cut = rowsOf(await encode(model("classification", verdicts), claims, { maxLength: whole.length - 5 }))[0];
    expect(cut).toEqual([...whole.slice(0, -tail - 5), ...whole.slice(-tail)]);
    const byPositions = await encode(model("classification", verdicts, { positions: whole.length - 5 }), claims);
    expect(rowsOf(byPositions)[0]).toEqual(cut);
  });

  test("the last of several parts that may be cut gives first", async () => {
    const template = () => [{ text: "abc", truncate: true }, { text: "!" }, { text: "de", truncate: true }];
    const rows = rowsOf(
      await encode(model("classification", verdicts), await data([{ fields: { text: "t" } }]), {
        template,
        maxLength: 3,
        startToken: false,
      }),
    );
    expect(rows).toEqual([[...(await ids("abc")), ...(await ids("!"))]]);
    const shorter = rowsOf(
      await encode(model("classification", verdicts), await data([{ fields: { text: "t" } }]), {
        template,
        maxLength: 2,
        startToken: false,
      }),
    );
    expect(shorter).toEqual([[...(await ids("abc")).slice(0, 1), ...(await ids("!"))]]);
  });

  test("choices: one row each, one group per instance", async () => {
    const questions = await data([
      { fields: { question: "q", choices: ["a", "b"] }, label: 1 },
      { fields: { question: "q", choices: ["a", "b", "c"] } },
    ]);
    const made = await encode(model("choice"), questions);
    expect([made.size, Array.from(made.groupOffsets), Array.from(made.labels)]).toEqual([2, [0, 2, 5], [1, -1]]);
    expect(made.texts[0]).toBe("Question : q/ Choice : a/ Answer :\nQuestion : q/ Choice : b/ Answer :");
  });

  test("a template of your own is one text, special tokens in it become their ids", async () => {
    const made = await encode(model("classification", verdicts), await data([{ fields: { text: "ok" } }]), {
      template: "<|endoftext|>{text}!",
    });
    expect(rowsOf(made)).toEqual([[0, ...(await ids("ok!"))]]);
  });
});

describe("labels", () => {
  const rows = [{ fields: { text: "a" }, label: 0 }, { fields: { text: "b" }, label: 1 }, { fields: { text: "c" } }];

  test("by name, whatever the order and the case", async () => {
    const made = await encode(model("classification", ["REFUTED", "supported", "other"]), await data(rows, verdicts));
    expect(Array.from(made.labels)).toEqual([1, 0, -1]);
  });

  test("by a mapping to names, indices, or none", async () => {
    const made = await encode(model("classification", ["yes", "no"]), await data(rows, verdicts), {
      labels: { Supported: "yes", Refuted: 1 },
    });
    expect(Array.from(made.labels)).toEqual([0, 1, -1]);
    expect(
      Array.from(
        (
          await encode(model("classification", ["yes", "no"]), await data(rows, verdicts), {
            labels: { Supported: 0, Refuted: -1 },
          })
        ).labels,
      ),
    ).toEqual([0, -1, -1]);
  });

  test("a mismatch lists both sides", async () => {
    await expect(encode(model("classification", ["yes", "no"]), await data(rows, verdicts))).rejects.toMatchObject({
      code: "mismatch",
      message: expect.stringContaining(
        '(Supported, Refuted) do not fit the model\'s (yes, no): the model has no class "Supported"',
      ),
    });
    await expect(
      encode(model("classification", verdicts), await data(rows, verdicts), { labels: { Supported: 2 } }),
    ).rejects.toMatchObject({ code: "mismatch" });
    await expect(
      encode(model("classification", verdicts), await data(rows, verdicts), { labels: { supported: 0 } }),
    ).rejects.toMatchObject({ code: "unknown" });
  });
});

describe("causal LM", () => {
  const fact = [{ fields: { prompt: "The capital of France is", answer: "Paris now" } }];
  const encoded = async (rows: Parameters<typeof data>[0], options?: EncodeOptions, labels?: readonly string[]) =>
    encode(model("causalLM"), await data(rows, labels), options);

  test("a text predicts each next token", async () => {
    const made = await encoded([{ fields: { text: "abc d" } }]);
    const row = [0, ...(await ids("abc d"))];
    expect([rowsOf(made)[0], Array.from(made.targets), Array.from(made.labels)]).toEqual([
      row,
      [...row.slice(1), -100],
      [-1],
    ]);
  });

  test("a fact query is the prompt, and the answer's first token comes next", async () => {
    const made = await encoded(fact);
    const prompt = [0, ...(await ids("The capital of France is"))];
    const [first] = await ids(" Paris now");
    expect([rowsOf(made)[0], Array.from(made.labels)]).toEqual([prompt, [first]]);
    expect(Array.from(made.targets)).toEqual([...prompt.slice(1).map(() => -100), first]);
    expect(made.texts).toEqual(["The capital of France is"]);
  });

  test("prompt and completion, instruction and output: the answer's tokens count", async () => {
    const made = await encoded([{ fields: { prompt: "The capital of France is", completion: "Paris now" } }]);
    const [prompt, answer] = [[0, ...(await ids("The capital of France is"))], await ids(" Paris now")];
    expect(rowsOf(made)[0]).toEqual([...prompt, ...answer]);
    expect(Array.from(made.targets)).toEqual([...prompt.slice(1).map(() => -100), ...answer, -100]);
    const alpaca = { instruction: "Name the capital", input: "France", output: "Paris now" };
    const asked = await encoded([{ fields: alpaca }, { fields: { ...alpaca, input: "" } }]);
    expect(asked.texts).toEqual(["Name the capital\n\nFrance Paris now", "Name the capital Paris now"]);
  });

  test("where a token spans prompt and answer, the answer begins with it", async () => {
    const words = { p: 0, a: 1, b: 2, ab: 3, " ": 4, "[s]": 5 };
    const joining = await createTokenizer({
      added_tokens: [],
      model: { type: "BPE", vocab: words, merges: [["a", "b"]] },
    });
    const encodedBy = async (prompt: string, options: EncodeOptions = {}) =>
      encode({ ...model("causalLM"), tokenizer: joining }, await data([{ fields: { prompt, answer: "b" } }]), {
        answerSeparator: "",
        targets: "answer",
        ...options,
      });
    const made = await encodedBy("pa");
    expect([rowsOf(made)[0], Array.from(made.targets)]).toEqual([
      [0, 3],
      [3, -100],
    ]);
    expect(Array.from((await encodedBy("pa", { targets: "next" })).labels)).toEqual([3]);
    await expect(encodedBy("a")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("spans prompt and answer") as string,
    });
  });

  test('targets "answer" counts the answer\'s tokens, "all" every token', async () => {
    const [prompt, answer] = [[0, ...(await ids("The capital of France is"))], await ids(" Paris now")];
    const only = await encoded(fact, { targets: "answer" });
    expect(rowsOf(only)[0]).toEqual([...prompt, ...answer]);
    expect(Array.from(only.targets)).toEqual([...prompt.slice(1).map(() => -100), ...answer, -100]);
    const all = await encoded(fact, { targets: "all" });
    expect(Array.from(all.targets)).toEqual([...prompt.slice(1), ...answer, -100]);
    expect([only.texts, Array.from(only.labels)]).toEqual([["The capital of France is Paris now"], [-1]]);
  });

  test("a space at the prompt's end belongs to the answer; the separator can be another", async () => {
    const spaced = await encoded([{ fields: { prompt: "is  ", answer: "so" } }], { targets: "all" });
    expect(rowsOf(spaced)[0]).toEqual([0, ...(await ids("is  so"))]);
    const joined = await encoded([{ fields: { prompt: "is", answer: "so" } }], { targets: "all", answerSeparator: "" });
    expect(joined.texts).toEqual(["isso"]);
  });

  test("a prompt without an answer is a query without a label", async () => {
    const made = await encoded([{ fields: { prompt: "abc" } }]);
    expect([Array.from(made.labels), new Set(made.targets)]).toEqual([[-1], new Set([-100])]);
  });

  test("after a claim the answer is the label's name", async () => {
    const made = await encoded([{ fields: { claim: "Oslo" }, label: 1 }], {}, verdicts);
    expect(Array.from(made.labels)).toEqual([(await ids(" Refuted"))[0]]);
  });
});

describe("refusals", () => {
  const one = (fields: Row["fields"], label = -1) =>
    data([{ fields, label }], label >= 0 && !Array.isArray(fields["choices"]) ? verdicts : []);
  const refused = (encoding: EncodingModel, dataset: Dataset, code: string, options?: EncodeOptions) =>
    expect(encode(encoding, dataset, options)).rejects.toMatchObject({ name: "AttributionError", code });

  test("rows that do not fit", async () => {
    const classifier = model("classification", verdicts);
    await refused(classifier, await data([]), "invalid");
    await refused(classifier, await one({ text: "  " }), "invalid");
    await refused(classifier, await one({ question: "q", choices: ["a", "b"] }), "mismatch");
    await refused(model("choice"), await one({ text: "a" }), "mismatch");
    await refused(model("choice"), await one({ question: "q", choices: ["a", "b"] }), "mismatch", {
      template: "{question}",
    });
    await refused(model("causalLM"), await one({ text: "a" }), "missing", { targets: "answer" });
    await refused(classifier, await one({ prompt: "a".repeat(600) }), "invalid", { maxLength: 8 });
    await refused(
      model("classification", verdicts, { positions: 8 }),
      await one({ text: "a b c d e f g h i j" }),
      "invalid",
      { template: "{text}" },
    );
    await refused(model("classification", verdicts, { vocabulary: 50 }), await one({ text: "zz" }), "mismatch");
    expect((await encode(classifier, await one({ text: "a" }, 1))).size).toBe(1);
  });

  test("options that contradict the model or are out of range", async () => {
    const text = await one({ text: "a" });
    await refused(model("classification", verdicts), text, "invalid", { targets: "all" });
    await refused(model("causalLM"), text, "invalid", { labels: {} });
    await refused(model("choice"), await one({ question: "q", choices: ["a", "b"] }), "invalid", { labels: {} });
    await refused(model("causalLM"), text, "invalid", { maxLength: 2000 });
    await refused(model("causalLM"), text, "invalid", { maxLength: 0 });
    await refused(model("causalLM"), text, "invalid", { targets: "some" as "all" });
    await refused(model("causalLM"), text, "unknown", { max: 3 } as EncodeOptions);
    await refused(model("causalLM"), undefined as unknown as Dataset, "invalid");
  });

  test("an abort before and during a call; a valid call afterwards works", async () => {
    const many = await data(Array.from({ length: 600 }, (_, index) => ({ fields: { text: `row ${index}` } })));
    await refused(model("causalLM"), many, "aborted", { signal: AbortSignal.abort() });
    const abort = new AbortController();
    await refused(model("causalLM"), many, "aborted", {
      signal: abort.signal,
      onProgress: () => {
        abort.abort();
      },
    });
    const stages: number[] = [];
    expect((await encode(model("causalLM"), many, { onProgress: ({ done }) => stages.push(done) })).size).toBe(600);
    expect(stages).toEqual([128, 256, 384, 512, 600]);
  });
});

describe("real files", () => {
  testOnRealFiles(
    "AVeriTeC with OPT's tokenizer: at most 512 tokens, all ending in the answer part; the loop stays free",
    ["averitec/train.json", "tokenizers/opt"],
    async () => {
      const claims = await loadDataset("averitec", { path: join(sharedData, "averitec/train.json"), limit: 1500 });
      const opt = await openTokenizer(join(sharedData, "tokenizers/opt"));
      const classifier: EncodingModel = {
        ...model("classification", claims.labels, { vocabulary: 50272, positions: 2048 }),
        tokenizer: opt,
      };
      let made: Instances | undefined;
      expect(
        await shortestHold(async () => {
          made = await encode(classifier, claims);
        }),
      ).toBeLessThan(longestHold);
      const tail = await ids("/ Answer :", opt);
      const rows = rowsOf(made!);
      expect([rows.length, Math.max(...rows.map((row) => row.length))]).toEqual([1500, 512]);
      expect(rows.every((row) => row[0] === 2 && row.slice(-tail.length).join() === tail.join())).toBe(true);
      opt.close();
    },
  );

  testOnRealFiles(
    "HANS on a model with MNLI's classes needs a mapping",
    ["hans/hans_regenerated_30000.tsv"],
    async () => {
      const hans = await loadDataset("hans", { path: join(sharedData, "hans/hans_regenerated_30000.tsv"), limit: 50 });
      const three = model("classification", ["entailment", "neutral", "contradiction"]);
      await expect(encode(three, hans)).rejects.toMatchObject({ code: "mismatch" });
      expect(new Set((await encode(three, hans, { labels: { "non-entailment": "neutral" } })).labels)).toEqual(
        new Set(hans.rows.map((row) => row.label)),
      );
    },
  );
});
