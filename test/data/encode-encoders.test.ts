// encode for encoders: pairs as the tokenizer writes them, with token types, and the answer's token at the mask.
import { createDataset } from "../../lib/data/dataset";
import { encode, type EncodeOptions, type EncodingModel } from "../../lib/data/encode";
import { concatInstances, selectInstances } from "../../lib/data/instances";
import { createTokenizer } from "../../lib/data/tokenizer";
import type { Architecture, HeadKind } from "../../types/architecture";
import type { Instances, Row, Tokenizer } from "../../types/data";
import { refusal } from "../storage/refusal";

const words = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  "paris",
  "rome",
  "is",
  "in",
  "france",
  "italy",
  "play",
  "##ing",
  "##s",
];
const id = Object.fromEntries(words.map((word, index) => [word, index]));
const special = words.slice(0, 5).map((content) => ({
  id: id[content],
  content,
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
}));
const token = (name: string, type: number) => ({ SpecialToken: { id: name, type_id: type } });
const text = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
const template = {
  type: "TemplateProcessing",
  single: [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)],
  pair: [token("[CLS]", 0), text("A", 0), token("[SEP]", 0), text("B", 1), token("[SEP]", 1)],
  special_tokens: Object.fromEntries(
    ["[CLS]", "[SEP]"].map((name) => [name, { id: name, ids: [id[name]], tokens: [name] }]),
  ),
};
const roberta = { type: "RobertaProcessing", sep: ["[SEP]", 3], cls: ["[CLS]", 2], trim_offsets: true };
const json = (processor: object | null) => ({
  added_tokens: special,
  normalizer: { type: "BertNormalizer", lowercase: true },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: processor,
  decoder: { type: "WordPiece" },
  model: { type: "WordPiece", unk_token: "[UNK]", vocab: { ...id } },
});
const config = { mask_token: "[MASK]", cls_token: "[CLS]", sep_token: "[SEP]", pad_token: "[PAD]", unk_token: "[UNK]" };

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await createTokenizer(json(template), config);
});
afterAll(() => tokenizer.close());

const model = (kind: HeadKind, changes: Partial<Architecture> = {}, own = tokenizer): EncodingModel => ({
  tokenizer: own,
  labels: kind === "classification" ? ["yes", "no"] : [],
  architecture: {
    vocabulary: words.length,
    positions: 64,
    causal: false,
    tokenTypes: 2,
    head: { kind, labels: 2 },
    ...changes,
  } as Architecture,
});
const dataOf = (fields: Row["fields"], labels: readonly string[] = []) =>
  createDataset([{ id: "r", fields, label: labels.length > 0 ? 1 : -1 }], { labels });
const rowOf = ({ tokens }: Instances) => Array.from(tokens, (one) => words[one]);
const typesOf = ({ tokenTypes }: Instances) => tokenTypes && Array.from(tokenTypes);

describe("pairs", () => {
  const fields = { premise: "Paris is in France", hypothesis: "Rome is in Italy" };

  test("have the tokenizer's separators and types", async () => {
    const made = await encode(model("classification"), await dataOf(fields, ["yes", "no"]));
    expect(rowOf(made).join(" ")).toBe("[CLS] paris is in france [SEP] rome is in italy [SEP]");
    expect(typesOf(made)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(Array.from(made.labels)).toEqual([1]);
  });

  test("have no types where the model has none, and two separators where RoBERTa's files say so", async () => {
    const dataset = await dataOf(fields, ["yes", "no"]);
    const plain = await encode(model("classification", { tokenTypes: 0 }), dataset);
    expect([rowOf(plain).length, plain.tokenTypes]).toEqual([11, undefined]);
    const own = await createTokenizer(json(roberta), config);
    const made = await encode(model("classification", { tokenTypes: 1 }, own), dataset);
    expect(rowOf(made).join(" ")).toBe("[CLS] paris is in france [SEP] [SEP] rome is in italy [SEP]");
    expect(made.tokenTypes).toBeUndefined();
    own.close();
  });

  test("are cut where the template says so", async () => {
    const made = await encode(model("classification"), await dataOf(fields, ["yes", "no"]), { maxLength: 9 });
    expect(rowOf(made).join(" ")).toBe("[CLS] paris is [SEP] rome is in italy [SEP]");
    expect(typesOf(made)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1]);
  });

  test("are a claim with its evidence, a question with each choice, or marked by a function", async () => {
    const claim = await encode(
      model("classification"),
      await dataOf({ claim: "Paris is", evidence: "in France" }, ["yes", "no"]),
    );
    expect(rowOf(claim).join(" ")).toBe("[CLS] paris is [SEP] in france [SEP]");
    const alone = await encode(model("classification"), await dataOf({ claim: "Paris is" }, ["yes", "no"]));
    expect([rowOf(alone).join(" "), alone.tokenTypes]).toEqual(["[CLS] paris is [SEP]", undefined]);
    const choices = await createDataset([
      { id: "r", fields: { question: "Paris is", choices: ["in France", "in Italy"] }, label: 0 },
    ]);
    const listwise = await encode(model("choice"), choices);
    expect(rowOf(listwise).join(" ")).toBe("[CLS] paris is [SEP] in france [SEP] [CLS] paris is [SEP] in italy [SEP]");
    const own = await encode(model("classification"), await dataOf({ a: "Rome", b: "Paris" }, ["yes", "no"]), {
      template: ({ fields: { a, b } }) => [{ text: a as string }, { text: b as string, second: true }],
    });
    expect(rowOf(own).join(" ")).toBe("[CLS] rome [SEP] paris [SEP]");
  });

  test("keep their types where instances are chosen and joined, with those that have none", async () => {
    const made = await encode(model("classification"), await dataOf(fields, ["yes", "no"]));
    const alone = await encode(model("classification"), await dataOf({ text: "Rome" }, ["yes", "no"]));
    const both = concatInstances([alone, made]);
    expect(typesOf(both)).toEqual([0, 0, 0, ...typesOf(made)!]);
    expect(typesOf(selectInstances(both, [1]))).toEqual(typesOf(made));
    expect(selectInstances(both, [1]).hash).toBe(made.hash);
    expect(made.hash).not.toBe(
      (await encode(model("classification", { tokenTypes: 0 }), await dataOf(fields, ["yes", "no"]))).hash,
    );
  });

  test("are refused where the tokenizer does not say how to write them, and by causal models", async () => {
    const dataset = await dataOf(fields, ["yes", "no"]);
    const silent = await createTokenizer(json(null), config);
    await expect(encode(model("classification", {}, silent), dataset)).rejects.toMatchObject(
      refusal("missing", /how a pair of texts is written/),
    );
    silent.close();
    await expect(
      encode(model("classification", { causal: true }), dataset, {
        template: () => [{ text: "rome" }, { text: "paris", second: true }],
      }),
    ).rejects.toMatchObject(refusal("invalid", /only encoders have/));
  });
});

describe("masks", () => {
  const masked = async (fields: Row["fields"], options?: EncodeOptions) =>
    encode(model("maskedLM"), await dataOf(fields), options);

  test("have the answer's token as their target, and nothing else counts", async () => {
    const made = await masked({ prompt: "[MASK] is in Italy", answer: "Rome" });
    expect(rowOf(made).join(" ")).toBe("[CLS] [MASK] is in italy [SEP]");
    expect(Array.from(made.targets)).toEqual([-100, id["rome"], -100, -100, -100, -100]);
    expect(Array.from(made.labels)).toEqual([id["rome"]]);
    expect(made.texts).toEqual(["[MASK] is in Italy"]);
    const unknown = await masked({ text: "Paris is in [MASK]" });
    expect(Array.from(unknown.targets)).toEqual([-100, -100, -100, -100, -1, -100]);
    expect(Array.from(unknown.labels)).toEqual([-1]);
  });

  test.each<[string, Row["fields"], RegExp]>([
    ["no mask", { text: "Rome is in Italy" }, /\[MASK\] exactly once, but it holds it 0 times/],
    ["two masks", { text: "[MASK] is in [MASK]" }, /exactly once, but it holds it 2 times/],
    [
      "an answer of two tokens",
      { text: "[MASK] is in Italy", answer: "playing" },
      /takes 2 tokens, but a mask holds one/,
    ],
  ])("of a text with %s are refused", async (_name, fields, wordsOfRefusal) => {
    await expect(masked(fields)).rejects.toMatchObject(refusal("invalid", wordsOfRefusal));
  });

  test("that are cut away, and options of other heads, are refused", async () => {
    await expect(masked({ text: "Paris is in [MASK]" }, { maxLength: 4 })).rejects.toMatchObject(
      refusal("invalid", /mask of row "r" was cut away/),
    );
    await expect(masked({ text: "[MASK] is" }, { targets: "all" })).rejects.toMatchObject(
      refusal("invalid", /"targets" is not for a model with a maskedLM head/),
    );
    const nameless = await createTokenizer(json(template), {});
    await expect(encode(model("maskedLM", {}, nameless), await dataOf({ text: "[MASK] is" }))).rejects.toMatchObject(
      refusal("missing", /name no mask token/),
    );
    nameless.close();
  });
});
