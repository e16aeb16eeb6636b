// HANS (McCoy et al. 2019): sentence pairs that break three heuristics of MNLI models. Two classes; a model with MNLI's
// three counts neutral and contradiction as non-entailment.
import type { DatasetSource } from "../source-row";
import { readSentencePairs } from "./sentence-pairs";

export const hans: DatasetSource = {
  labels: ["entailment", "non-entailment"],
  read: (path) => readSentencePairs(path, ["heuristic", "subcase", "template"]),
};
