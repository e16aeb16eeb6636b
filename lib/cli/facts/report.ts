// The report of the facts demo: sections in reading order, and what frames them.
import { libtorchVersion } from "../../native";
import { libraryVersion } from "../../provenance";
import { formatNumber } from "../../report/format";
import type { Report, ReportSection } from "../../../types/report";
import { totalTime, type Session } from "../session";
import { knownFacts } from "./asking";
import { completeness, type UnitKind } from "./attributing";
import type { Changed } from "./changing";
import type { FactsFindings } from "./findings";
import { knownSection } from "./known-section";
import { changeSection, curveSections, saidSection } from "./tests-sections";
import { layersSection, refinedSection, sharedSection, vocabularySection } from "./units-sections";

export async function sectionsOf(findings: FactsFindings): Promise<ReportSection[]> {
  return [
    askedSection(findings),
    refinedSection(findings),
    changeSection(findings),
    ...knownSection(findings),
    ...saidSection(findings),
    ...curveSections(findings),
    sharedSection(findings),
    await layersSection(findings),
    vocabularySection(findings),
  ];
}

export const timesTitle = "Time";

export function reportOf(session: Session, findings: FactsFindings, sections: readonly ReportSection[]): Report {
  const {
    model,
    modelName,
    quiz,
    kept: { facts, negatives, unseen },
    size,
  } = findings;
  const { family, layers, intermediate, heads } = model.architecture;
  const rows = session.times.map(({ title, seconds }) => [title, seconds]);
  return {
    title: `Where ${modelName.split(" ")[0]} keeps what it knows`,
    summary: summaryOf(findings),
    facts: [
      {
        name: "Model",
        value: `${modelName}: ${family}, ${layers} layers, ${layers} × ${intermediate} neurons, ${layers} × ${heads} heads, ${formatNumber(model.parameters)} parameters, ${model.dtype}`,
      },
      { name: "Model fingerprint", value: model.hash.slice(0, 12) },
      { name: "Data", value: quiz.origin },
      {
        name: "Before each question",
        value:
          quiz.start === ""
            ? "nothing"
            : `${quiz.start} (measured on 400 other facts: 29.0 % right after it, 22.75 % after nothing, 19.5 % after <|im_start|>)`,
      },
      {
        name: "Attributed",
        value: `${facts.length} facts, and one question each of ${negatives.length} others to compare with (${unseen.length} more are left to test on); probability of the answer's first token at the last position; integrated gradients with ${size.nodes} Gauss-Legendre nodes, bisected where they leave more than ${100 * completeness} % of the probability, baseline zero`,
      },
      { name: "Seed", value: String(session.seed) },
      {
        name: "Versions",
        value: `attribution ${libraryVersion()}, libtorch ${libtorchVersion()}, Node ${process.versions.node}`,
      },
      { name: "Time", value: totalTime(session.times) },
    ],
    sections: [
      ...sections,
      {
        title: timesTitle,
        explanation: "What each step of this run took.",
        blocks: [
          {
            kind: "table",
            caption: "Steps",
            columns: [{ label: "Step" }, { label: "Time", unit: "s", digits: 1 }],
            rows,
          },
        ],
      },
    ],
  };
}

function summaryOf({ modelName, answers, quiz, size, kept: { facts }, changed, attributed }: FactsFindings): string {
  const known = knownFacts(answers, size.keeping).length;
  const without = (kind: UnitKind): string => {
    const [own, others] = (["its phrasings kept out", "other facts, same relation"] as const).map((group) =>
      changed.find((row) => row.kind === kind && row.change === "suppressed" && row.group === group),
    );
    if (own === undefined) return "";
    const words = (row: Changed) => `${row.chosen.mean.toFixed(2)} (from ${row.before.toFixed(2)}`;
    return ` Without a fact's ${kind} units its answer's probability in phrasings kept out changes by ${words(own)}; random units: ${own.random.mean.toFixed(2)})${others === undefined ? "" : `, that of other facts of the relation by ${words(others)})`}.`;
  };
  const mean = (kind: UnitKind): string =>
    (attributed.units[kind].reduce((sum, { length }) => sum + length, 0) / facts.length).toFixed(1);
  return `${modelName} knows ${known} of ${quiz.facts.length} facts in at least ${size.keeping.enough} phrasings; ${facts.length} of them were attributed. Their phrasings share ${mean("refined")} neurons and heads on average (at most ${size.refining.most} are kept; refined units); leaving out what other facts rest on, ${mean("specific")} (specific units).${without("refined")}${without("specific")}`;
}

function askedSection({ quiz, answers, size }: FactsFindings): ReportSection {
  const rows = quiz.relations.flatMap(({ name, phrasings }, relation) => {
    const own = answers.right.filter((_, fact) => quiz.facts[fact].relation === relation);
    const enough = own.filter((right) => right.filter(Boolean).length >= size.keeping.enough).length;
    const count = (right: number) => [right, own.length, own.length === 0 ? null : (100 * right) / own.length];
    return [
      ...phrasings.map((phrasing, at) => [
        name,
        phrasing.replace("{s}", "…"),
        ...count(own.filter((right) => right[at]).length),
      ]),
      [name, `in at least ${size.keeping.enough} phrasings`, ...count(enough)],
    ];
  });
  return {
    title: "What does the model know?",
    explanation:
      "Every fact is asked in every phrasing; it counts as known in one where its answer's first token is the most probable next token. Only facts known in enough phrasings are worked on.",
    blocks: [
      {
        kind: "table",
        caption: "Facts known",
        columns: [
          { label: "Relation" },
          { label: "Phrasing" },
          { label: "Known", digits: 0 },
          { label: "Of", digits: 0 },
          { label: "Share", unit: "%", digits: 1 },
        ],
        rows,
        notes: [
          `The answers of ${answers.wholeAnswers} of the ${quiz.facts.length} facts are a single token; of the others the first one is asked for.`,
        ],
      },
    ],
  };
}
