// What was found, in sentences with numbers: null and contrary results are said as such.
import type { Estimate } from "../../../types/results";
import type { ReportSection } from "../../../types/report";
import type { StudyResults, SubjectResults } from "../results";
import { nameOf, percent, rounded } from "./names";
import { commonSizes, meanChange } from "./neurons";
import { methodsOf, valuesOf } from "./tuning";

export function leadOf({ subjects }: StudyResults): string {
  const learned = subjects.map((subject) => {
    const all = subject.learning.groups[subject.learning.groups.length - 1];
    return `${nameOf(subject, subjects)} judges ${percent(all.accuracy.mean)} of ${all.rows} held-out rows rightly (majority baseline ${percent(all.majority)})`;
  });
  return `${learned.join("; ")}. Every result stands beside what random choices give.`;
}

export function findingsSection({ subjects }: StudyResults): ReportSection {
  return {
    title: "What was found",
    explanation:
      "Each sentence compares with random choices. “No clear difference” means that the interval holds 0, or that seeds disagree.",
    blocks: subjects.flatMap((subject) => {
      const name = nameOf(subject, subjects);
      return findingsOf(subject).map((text) => ({
        kind: "text" as const,
        text: subjects.length === 1 ? text : `${name}: ${text}`,
      }));
    }),
  };
}

function findingsOf(subject: SubjectResults): string[] {
  return [
    neurons(subject),
    heads(subject),
    tuning(subject),
    ...agreement(subject),
    variety(subject),
    tracing(subject),
    conflicts(subject),
    outOfDistribution(subject),
    ...sanity(subject),
  ].filter((text) => text !== "");
}

/** "rises by", "falls by" or no clear difference, of a difference with its interval. */
function differs({ low, high }: Estimate): boolean {
  return low > 0 || high < 0;
}

function neurons(subject: SubjectResults): string {
  const [own] = subject.neuronTests;
  const ia = subject.neuronTests.find(({ method }) => method.startsWith("IA-Neurons") && !method.endsWith("Random"));
  const sizes = commonSizes("comprehensiveness", subject);
  const [change, random] = [
    meanChange(own, "comprehensiveness", sizes),
    meanChange(own, "comprehensiveness", sizes, "random"),
  ];
  const other =
    ia === undefined
      ? ""
      : ` Without ${ia.method} it changes by ${rounded(meanChange(ia, "comprehensiveness", sizes))}.`;
  return `Without the top neurons by ${own.method}, the probability of the prediction changes by ${rounded(change)} on average over r; without random ones by ${rounded(random)}.${other}`;
}

function heads({ neuronTests: [own], headTests }: SubjectResults): string {
  const [n, h] = [own.insertion.difference, headTests.insertion.difference];
  if (!differs(n) && !differs(h))
    return "Neither heads nor neurons do better than random units in insertion: no clear difference.";
  const overlap = n.low <= h.high && h.low <= n.high;
  const numbers = `neurons ${rounded(n.mean, 3)}, heads ${rounded(h.mean, 3)} above random in the area under insertion`;
  return overlap
    ? `At equal shares of units, heads and neurons explain about as much: ${numbers}.`
    : `At equal shares of units, ${n.mean > h.mean ? "neurons" : "heads"} explain more: ${numbers}.`;
}

function tuning({ fineTuning }: SubjectResults): string {
  if (fineTuning.length === 0) return "";
  const fractions = [
    ...new Set(fineTuning.filter(({ subset }) => subset === "random").map(({ fraction }) => fraction)),
  ];
  const pairs = methodsOf(fineTuning).flatMap((method) =>
    fractions.map((fraction) => {
      const [most, random] = [
        valuesOf(fineTuning, method, "most", fraction, "accuracy"),
        valuesOf(fineTuning, undefined, "random", fraction, "accuracy"),
      ];
      return Math.min(...most) > Math.max(...random)
        ? "most"
        : Math.max(...most) < Math.min(...random)
          ? "random"
          : "unclear";
    }),
  );
  const count = (what: string) => pairs.filter((each) => each === what).length;
  if (new Set(fineTuning.map(({ seed }) => seed)).size === 1)
    return `With one seed the fine-tuning test decides nothing: of ${pairs.length} comparisons, influential rows are ahead in ${count("most")}, random ones in ${count("random")}.`;
  const [most, random] = [count("most"), count("random")];
  const verdict =
    random > most
      ? "Random rows beat the most influential ones more often than the reverse"
      : most > random
        ? "The most influential rows beat random ones more often than the reverse"
        : "Neither the most influential nor random rows do better on the whole";
  return `${verdict}: of ${pairs.length} comparisons after tuning, ${most} favour influential rows, ${random} random ones; in ${count("unclear")} the seeds overlap.`;
}

function agreement({ instanceOverlap, neuronOverlap }: SubjectResults): string[] {
  const between = (
    { names, values, chance, k }: SubjectResults["instanceOverlap"],
    of: string,
    one: number,
    other: number,
  ): string => {
    const { mean, low } = values[one][other];
    const words = low > chance ? "more than chance" : "no more than chance";
    return `${names[one]} and ${names[other]} share ${percent(mean)} of their top ${k} ${of} (chance ${percent(chance)}): ${words}.`;
  };
  const na = instanceOverlap.names.indexOf("NA-Instances");
  const ia = neuronOverlap.names.length - 1;
  return [between(instanceOverlap, "rows", 0, na), between(neuronOverlap, "neurons", 0, ia)];
}

function variety({ distinct, diversity }: SubjectResults): string {
  const rows = (method: string) => distinct.find((each) => each.of === "rows" && each.method === method);
  const [ia, na] = [rows(diversity[0].method), rows("NA-Instances")];
  if (ia === undefined || na === undefined) return "";
  const verdict =
    na.distinct > ia.distinct
      ? "as the paper found"
      : na.distinct < ia.distinct
        ? "contrary to what the paper found"
        : "no difference";
  return `NA-Instances choose ${na.distinct} different rows over all queries, ${diversity[0].method} ${ia.distinct} (${verdict}); independent random choices would give ${Math.round(na.expected ?? 0)}.`;
}

function tracing({ tracing: rows }: SubjectResults): string {
  if (rows.length === 0) return "";
  const recall = ({ sameClaim }: (typeof rows)[number]) => sameClaim.recall.mean;
  const best = rows.filter(({ method }) => method !== "Random").reduce((a, b) => (recall(b) > recall(a) ? b : a));
  const random = rows.find(({ method }) => method === "Random");
  return `${best.method} finds most of the true training rows: ${percent(recall(best))} of them are in its top 10; random ${percent(random === undefined ? 0 : recall(random))}.`;
}

function conflicts({ conflicts: rows }: SubjectResults): string {
  if (rows.length === 0) return "";
  const count = (what: string) => rows.filter(({ restsOn }) => restsOn === what).length;
  return `Where the two views disagree most (${rows.length} queries), the prediction rests on its own neurons ${count("NA")} times, on neurons of its rows ${count("IA")} times, on neither ${count("neither")} times.`;
}

function outOfDistribution({ outOfDistribution: found }: SubjectResults): string {
  if (found === null) return "";
  const share = found.sharePredictedLabel;
  const words =
    share === null
      ? ""
      : ` Of the rows behind its wrong answers, ${percent(share.mean)} have the label that it predicts (chance ${percent(found.chancePredictedLabel)}).`;
  return `On another distribution it answers ${percent(found.accuracy.mean)} of ${found.rows} rows rightly.${words}`;
}

function sanity({ sanity: rows }: SubjectResults): string[] {
  const failing = rows.filter(({ correlation }) => correlation.low > 0.5);
  if (rows.length === 0) return [];
  return failing.length === 0
    ? ["Under re-drawn weights every method gives other scores: no rank correlation is above 0.5."]
    : [
        `Under re-drawn weights ${failing.map(({ method, correlation }) => `${method} (${rounded(correlation.mean)})`).join(", ")} ${failing.length === 1 ? "stays" : "stay"} nearly the same: read ${failing.length === 1 ? "it" : "them"} with care.`,
      ];
}
