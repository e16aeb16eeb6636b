// A target given by words.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { AttributionError, expected } from "../errors";
import { checkFit } from "../model/fit";

/**
 * The classes that words name, for the options `of` and `contrast`: of a language model the token that the text begins with (write
 * the space: " Paris"), of a classifier the label of that name. One text stands for all instances, a list names one for each.
 * A text of several tokens is refused ("invalid"), since F speaks of one next token; name its first token instead. Cost: none.
 * @returns [instance] token ids or label indices
 * @example const na = await integratedGradients(model, queries, { of: await wordTargets(model, queries, " Paris") });
 */
export async function wordTargets(
  model: Model,
  instances: Instances,
  words: string | readonly string[],
): Promise<Int32Array> {
  checkFit(model, instances, "instances");
  const list = typeof words === "string" ? Array.from({ length: instances.size }, () => words) : words;
  const fits =
    Array.isArray(list) &&
    list.length === instances.size &&
    list.every((text) => typeof text === "string" && text !== "");
  if (!fits) throw expected("words", `a text, or a non-empty text for each of the ${instances.size} instances`, words);
  const texts = list as readonly string[];
  const distinct = [...new Set(texts)];
  const classes = new Map(
    model.architecture.head.kind === "causalLM" || model.architecture.head.kind === "maskedLM"
      ? await tokensOf(model, distinct)
      : distinct.map((text) => [text, labelOf(model, text)] as const),
  );
  return Int32Array.from(texts, (text) => classes.get(text)!);
}

async function tokensOf({ tokenizer }: Model, texts: readonly string[]): Promise<[string, number][]> {
  const ids = await tokenizer.encode(texts);
  const long = ids.findIndex((tokens) => tokens.length !== 1);
  if (long >= 0) {
    const parts = (await tokenizer.tokenTexts(ids[long])).map((part) => JSON.stringify(part));
    throw new AttributionError(
      "invalid",
      `Expected ${JSON.stringify(texts[long])} to be one token, but it has ${ids[long].length}: ${parts.join(", ")}; name one of them`,
    );
  }
  return texts.map((text, i) => [text, ids[i][0]]);
}

function labelOf({ labels, architecture }: Model, text: string): number {
  if (architecture.head.kind === "choice")
    throw new AttributionError("unsupported", "A listwise model's choices have no names; give the choices' indices");
  const label = labels.indexOf(text);
  if (label < 0)
    throw expected("words", `one of the model's labels ${labels.map((name) => `"${name}"`).join(", ")}`, text);
  return label;
}
