// Pages are read by people to whom English is a second language: no sentence has more than 25 words. Code, tables and headings are not
// counted, and a list of names (eight commas or more) is no sentence.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(__dirname, "../..");
const mostWords = 25;

function sentencesOf(page: string): string[] {
  const prose = page.replace(/^```[^]*?^```/gm, "\n\n").replace(/^[|#].*$/gm, "\n\n");
  const paragraphs = prose.split(/\n\s*\n|\n(?=\s*[-*] |\s*\d+\. )/);
  return paragraphs.flatMap((paragraph) =>
    paragraph
      .replace(/`[^`]*`/g, "Code")
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replace(/^[\s*-]+/, "")
      .replace(/\s+/g, " ")
      .split(/(?<=[.!?:;]\**)\s+(?=[\p{Lu}"(*])/u),
  );
}

function tooLong(page: string): string[] {
  const words = (sentence: string) => sentence.split(" ").filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
  const isList = (sentence: string) => sentence.split(",").length > 8;
  return sentencesOf(page).filter((sentence) => words(sentence) > mostWords && !isList(sentence));
}

test("a sentence of 26 words is found, and one of 25 is not; code and links count as little as they say", () => {
  const sentence = (words: number) => `Word${" word".repeat(words - 1)}.`;
  expect(tooLong(`# ${sentence(40)}\n\n${sentence(25)} ${sentence(10)}`)).toEqual([]);
  expect(tooLong(`- ${sentence(26)}\n- Next.`)).toEqual([sentence(26)]);
  expect(tooLong(`\`\`\`js\n${sentence(40)}\n\`\`\`\n\n\`${sentence(30)}\` is [code](x).`)).toEqual([]);
});

const guides = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));

test.each(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...guides.map((name) => `docs/${name}`)])(
  "%s has short sentences",
  (page) => expect(tooLong(readFileSync(join(root, page), "utf8"))).toEqual([]),
);
