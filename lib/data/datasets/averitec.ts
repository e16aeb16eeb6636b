// AVeriTeC (Schlichtkrull et al. 2023): claims with question-answer evidence; train.json and dev.json are one big array.
// The evidence is written as the paper writes it: "(0)question answer (1)question answer …", the first answer of each.
import { type JsonRecord, readJsonObjects } from "../read-json";
import { arrayAt, type DatasetSource, objectOf, optionalText, type SourceRow, textAt } from "../source-row";

export const averitec: DatasetSource = {
  labels: ["Supported", "Refuted", "Not Enough Evidence", "Conflicting Evidence/Cherrypicking"],
  async *read(path) {
    for await (const record of readJsonObjects(path)) yield claimOf(path, record);
  },
};

function claimOf(path: string, { value, line }: JsonRecord): SourceRow {
  const { label } = value;
  return {
    fields: {
      claim: textAt(path, line, value, "claim"),
      evidence: evidenceOf(path, line, value),
      speaker: optionalText(value, "speaker"),
      date: optionalText(value, "claim_date"),
      justification: optionalText(value, "justification"),
    },
    label: label === undefined || label === null ? undefined : textAt(path, line, value, "label"),
    line,
  };
}

function evidenceOf(path: string, line: number, value: Readonly<Record<string, unknown>>): string {
  if (value["questions"] === undefined || value["questions"] === null) return "";
  return arrayAt(path, line, value, "questions")
    .map((item, index) => {
      const question = objectOf(path, line, item, `question ${index}`);
      const [first] = arrayAt(path, line, question, "answers");
      const answer = first === undefined ? "" : textAt(path, line, objectOf(path, line, first, "an answer"), "answer");
      return `(${index})${textAt(path, line, question, "question")} ${answer}`.trimEnd();
    })
    .join(" ");
}
