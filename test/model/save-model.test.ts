import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createModel } from "../../lib/model/create-model";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import { readSafetensors } from "../../lib/storage/safetensors";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { cases, golden, headOf } from "./golden-cases";

const directory = scratch();
let saved = 0;
const fresh = (): string => join(directory, `saved-${saved++}`);
const configOf = (path: string) =>
  JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as Record<string, unknown>;
const namesOf = async (path: string) =>
  (await readSafetensors(join(path, "model.safetensors"))).map(({ name }) => name).sort();
const byteTokenizer = join(__dirname, "..", "data", "byte-bpe");
const tiny = { model_type: "gpt2", n_embd: 32, n_layer: 2, n_head: 4, vocab_size: 96, n_positions: 24 };

describe("a saved model", () => {
  test.each(cases)("%s is read back as it was", async (name) => {
    const path = fresh();
    using model = await loadModel(join(golden, name), { head: headOf(name) });
    await saveModel(model, path);
    using again = await loadModel(path);
    expect(again.hash).toBe(model.hash);
    expect(again.architecture).toEqual(model.architecture);
    expect(again.labels).toEqual(model.labels);
  });

  test.each(cases.filter((name) => !/^(format|hub)/.test(name)))(
    "%s has the names that transformers gave it",
    async (name) => {
      const path = fresh();
      using model = await loadModel(join(golden, name), { head: headOf(name) });
      await saveModel(model, path);
      expect(await namesOf(path)).toEqual(await namesOf(join(golden, name)));
    },
  );

  test("has its new head in config.json and in the weights", async () => {
    const path = fresh();
    using model = await loadModel(join(golden, "llama"), { head: { kind: "classification", labels: ["no", "yes"] } });
    await saveModel(model, path);
    expect(configOf(path)).toMatchObject({
      architectures: ["LlamaForSequenceClassification"],
      id2label: { 0: "no", 1: "yes" },
      label2id: { no: 0, yes: 1 },
      num_labels: 2,
    });
    expect(await namesOf(path)).toContain("score.weight");
    expect(await namesOf(path)).not.toContain("lm_head.weight");
    using again = await loadModel(path);
    expect(again.labels).toEqual(["no", "yes"]);
  });

  test("with a choice head is a classifier of one label to transformers, and a choice to us", async () => {
    const path = fresh();
    using model = await loadModel(join(golden, "opt"), { head: { kind: "choice" } });
    await saveModel(model, path);
    expect(configOf(path)).toMatchObject({
      architectures: ["OPTForSequenceClassification"],
      num_labels: 1,
      attribution_head: "choice",
    });
    using again = await loadModel(path);
    expect(again.architecture.head).toEqual({ kind: "choice", labels: 1 });
  });

  test.each([
    ["float32", "F32"],
    ["bfloat16", "BF16"],
    ["float64", "F64"],
  ] as const)("may be stored as %s", async (dtype, stored) => {
    const path = fresh();
    using model = await createModel(tiny);
    await saveModel(model, path, { dtype });
    expect(new Set((await readSafetensors(join(path, "model.safetensors"))).map((tensor) => tensor.dtype))).toEqual(
      new Set([stored]),
    );
    expect(configOf(path)["dtype"]).toBe(dtype);
  });

  test("has its tokenizer, with the pad token and the embedding row added to it", async () => {
    const source = fresh();
    using base = await createModel({ ...tiny, vocab_size: 300 }, { tokenizer: byteTokenizer });
    await saveModel(base, source);
    const vocabulary = base.tokenizer.size;
    using fitting = await createModel({ ...tiny, vocab_size: vocabulary }, { tokenizer: source });
    const small = fresh();
    await saveModel(fitting, small);
    expect(fitting.tokenizer.special.pad).toBeUndefined();
    using model = await loadModel(small, { padToken: "add" });
    expect(model.tokenizer.special.pad).toBe(vocabulary);
    expect(model.architecture.vocabulary).toBe(vocabulary + 1);
    const path = fresh();
    await saveModel(model, path);
    using again = await loadModel(path);
    expect(again.hash).toBe(model.hash);
    expect(again.tokenizer.special.pad).toBe(vocabulary);
    expect(configOf(path)).toMatchObject({ vocab_size: vocabulary + 1, pad_token_id: vocabulary });
    expect(await again.tokenizer.encode(["A claim."])).toEqual(await model.tokenizer.encode(["A claim."]));
  });
});

describe("saving is refused", () => {
  test("into a directory that holds something", async () => {
    const path = fresh();
    mkdirSync(path);
    writeFileSync(join(path, "notes.txt"), "mine");
    using model = await createModel(tiny);
    await expect(saveModel(model, path)).rejects.toMatchObject(refusal("invalid", /notes\.txt/));
    expect(readdirSync(path)).toEqual(["notes.txt"]);
    await expect(saveModel(model, join(path, "notes.txt"))).rejects.toMatchObject(
      refusal("invalid", /Cannot write .*a file, not a folder/),
    );
  });

  test("of a closed model, of no model, and with a wrong type", async () => {
    const model = await createModel(tiny);
    await expect(saveModel(model, fresh(), { dtype: "float16" as never })).rejects.toMatchObject(
      refusal("invalid", /"dtype"/),
    );
    model.close();
    await expect(saveModel(model, fresh())).rejects.toMatchObject(refusal("invalid", /closed/));
    await expect(saveModel({} as never, fresh())).rejects.toMatchObject(refusal("invalid", /Model/));
  });

  test("when aborted, and leaves nothing behind", async () => {
    const path = fresh();
    using model = await createModel(tiny);
    await expect(saveModel(model, path, { signal: AbortSignal.abort() })).rejects.toMatchObject(
      refusal("aborted", /abort/),
    );
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(directory).filter((name) => name.includes("partial"))).toEqual([]);
    await saveModel(model, path);
    expect(existsSync(join(path, "model.safetensors"))).toBe(true);
  });
});
