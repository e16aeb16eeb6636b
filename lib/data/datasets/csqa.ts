// CommonsenseQA (Talmor et al. 2019): a question and five choices, listwise. The official jsonl files.
import { type JsonRecord, readJsonObjects } from "../read-json";
import { corruptAt } from "../read-text";
import { arrayAt, type DatasetSource, objectOf, optionalText, type SourceRow, textAt } from "../source-row";

export const csqa: DatasetSource = {
  labels: [],
  async *read(path) {
    for await (const record of readJsonObjects(path)) yield questionOf(path, record);
  },
};

function questionOf(path: string, { value, line }: JsonRecord): SourceRow {
  const question = objectOf(path, line, value["question"], '"question"');
  const choices = arrayAt(path, line, question, "choices").map((item) => objectOf(path, line, item, "a choice"));
  if (choices.length < 2) throw corruptAt(path, line, `expected at least two choices but found ${choices.length}`);
  const key = value["answerKey"];
  const label =
    key === undefined || key === null || key === ""
      ? undefined
      : choices.findIndex((choice) => choice["label"] === key);
  if (label === -1) throw corruptAt(path, line, `has the answer ${JSON.stringify(key)}, which is no choice's label`);
  return {
    id: textAt(path, line, value, "id"),
    fields: {
      question: textAt(path, line, question, "stem"),
      choices: choices.map((choice) => textAt(path, line, choice, "text")),
      concept: optionalText(question, "question_concept"),
    },
    label,
    line,
  };
}
