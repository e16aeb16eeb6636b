// Conversations against transformers' apply_chat_template: texts, ids, and the assistant's tokens as the only targets.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createDataset } from "../../lib/data/dataset";
import { encode, type EncodeOptions, type EncodingModel } from "../../lib/data/encode";
import { noTarget } from "../../lib/data/instances";
import { createTokenizer } from "../../lib/data/tokenizer";
import type { Instances, Tokenizer } from "../../types/data";
import { refusal } from "../storage/refusal";

interface Turn {
  readonly role: string;
  readonly content: string;
  readonly weight?: number;
}
interface Case {
  readonly template: string;
  readonly messages: readonly Turn[];
  readonly text: string;
  readonly asks: string;
  readonly ids: readonly number[];
  readonly mask: readonly number[];
}
const read = (name: string): unknown => JSON.parse(readFileSync(join(__dirname, name), "utf8"));
const golden = read("chat-golden.json") as {
  readonly special: readonly string[];
  readonly templates: Readonly<Record<string, string>>;
  readonly cases: readonly Case[];
};

let tokenizer: Tokenizer;
beforeAll(async () => {
  const config = {
    bos_token: "<|endoftext|>",
    eos_token: "<|endoftext|>",
    additional_special_tokens: golden.special,
    chat_template: [{ name: "default", template: golden.templates["chatml"] }],
  };
  tokenizer = await createTokenizer(read("byte-bpe/tokenizer.json") as object, config);
});
afterAll(() => tokenizer.close());

const modelOf = (kind: "causalLM" | "classification" = "causalLM"): EncodingModel => {
  const head = kind === "causalLM" ? { kind } : { kind, labels: 2 };
  const architecture = { head, positions: 4096, vocabulary: 1000 };
  return { tokenizer, architecture, labels: kind === "causalLM" ? [] : ["A", "B"] } as unknown as EncodingModel;
};

async function encoded(messages: readonly unknown[], options: EncodeOptions = {}): Promise<Instances> {
  const fields = { messages: JSON.stringify(messages) };
  return encode(modelOf(), await createDataset([{ id: "c", fields, label: -1 }]), options);
}

describe("conversations are transformers'", () => {
  test.each(golden.cases.map((each, at) => [`${each.template} ${at}`, each] as const))("%s", async (_name, each) => {
    const chatTemplate = golden.templates[each.template];
    const { tokens, targets, texts } = await encoded(each.messages, { chatTemplate });
    expect(texts[0]).toBe(each.text);
    expect(Array.from(tokens)).toEqual(each.ids);
    const wanted = each.ids.map((_, at) => (each.mask[at + 1] === 1 ? each.ids[at + 1] : noTarget));
    expect(Array.from(targets)).toEqual(wanted);
    // What comes next: the first token of a last answer, or what the template asks for.
    const next = await encoded(each.messages, { chatTemplate, targets: "next" });
    const first =
      each.mask[each.mask.length - 1] === 0 && !each.mask.includes(1)
        ? -1
        : each.mask.lastIndexOf(0, each.mask.lastIndexOf(1)) + 1;
    if (each.messages.at(-1)!.role !== "assistant") expect([next.texts[0], next.labels[0]]).toEqual([each.asks, -1]);
    else expect([Array.from(next.tokens), next.labels[0]]).toEqual([each.ids.slice(0, first), each.ids[first]]);
  });
});

describe("conversations", () => {
  const turns = golden.cases[0].messages;
  const counted = ({ targets }: Instances): number => targets.filter((target) => target >= 0).length;

  test("use the tokenizer's own template; a weight of 0 is no target; all tokens on demand", async () => {
    const whole = await encoded(turns);
    expect(Array.from(whole.tokens)).toEqual(golden.cases[0].ids);
    const silent = turns.map((turn, at) => (at === 1 ? { ...turn, weight: 0 } : turn));
    const less = await encoded(silent);
    expect(less.tokens).toEqual(whole.tokens);
    expect(counted(less)).toBeLessThan(counted(whole));
    expect(Array.from(less.targets.slice(-9))).toEqual(Array.from(whole.targets.slice(-9)));
    expect(counted(await encoded(turns, { targets: "all" }))).toBe(whole.tokens.length - 1);
    expect((await encoded(turns, { maxLength: 40 })).tokens).toEqual(whole.tokens.slice(0, 40));
  });

  test("of a classifier are whole texts with their labels", async () => {
    const data = await createDataset([{ id: "c", fields: { messages: JSON.stringify(turns) }, label: 1 }], {
      labels: ["A", "B"],
    });
    const { tokens, labels } = await encode(modelOf("classification"), data);
    expect([Array.from(tokens), labels[0]]).toEqual([golden.cases[0].ids, 1]);
  });

  test("take variables; a template that asks for the day is told that there is none", async () => {
    const chatTemplate =
      "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}none{% endif %} {{ mood }} {{ tools is none }}";
    const { texts } = await encoded(turns.slice(0, 1), { chatTemplate, templateValues: { mood: "calm" } });
    expect(texts[0]).toBe("none calm true");
  });

  const last =
    "{% for m in messages %}{{ m.role }}:{% if loop.last %}!{% endif %}{{ m.content }};{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
  test.each<[string, string, unknown[], string, RegExp]>([
    ["a template that is none", "{% for %}", [...turns], "unsupported", /cannot be read/],
    [
      "a role that it refuses",
      golden.templates["gemma"],
      [{ role: "system", content: "a" }],
      "invalid",
      /System role not supported/,
    ],
    ["turns that change", last, [...turns], "unsupported", /writes turn 2 otherwise .*"weight" to 0/],
    [
      "recursion without end",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      [...turns],
      "invalid",
      /refuses a conversation/,
    ],
    ["no turns", "x", [], "invalid", /list of turns/],
    [
      "an answer with two marks",
      "{% for i in [1, 2] %}{% generation %}x{% endgeneration %}{% endfor %}",
      turns.slice(0, 2),
      "unsupported",
      /marks 2 places/,
    ],
  ])("%s is refused", async (_what, chatTemplate, messages, code, words) => {
    await expect(encoded(messages, { chatTemplate })).rejects.toMatchObject(refusal(code as "invalid", words));
  });

  test("chat options are for conversations, and a tokenizer without template says so", async () => {
    const text = await createDataset([{ id: "a", fields: { text: "a" }, label: -1 }]);
    await expect(encode(modelOf(), text, { chatTemplate: "x" })).rejects.toMatchObject(
      refusal("invalid", /conversations/),
    );
    const plain = await createTokenizer(read("byte-bpe/tokenizer.json") as object);
    const data = await createDataset([{ id: "a", fields: { messages: JSON.stringify(turns) }, label: -1 }]);
    const call = encode({ ...modelOf(), tokenizer: plain }, data);
    await expect(call).rejects.toMatchObject(refusal("missing", /no chat template\. Give one as "chatTemplate"/));
    plain.close();
  });

  test("a template without end is stopped, and the process goes on", async () => {
    const own = await createTokenizer(read("byte-bpe/tokenizer.json") as object);
    const chatTemplate = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    const data = await createDataset([{ id: "a", fields: { messages: JSON.stringify(turns) }, label: -1 }]);
    await expect(encode({ ...modelOf(), tokenizer: own }, data, { chatTemplate })).rejects.toMatchObject(
      refusal("unsupported", /was stopped: its chat template does not end\. .* give another "chatTemplate"/),
    );
    own.close();
  });
});
