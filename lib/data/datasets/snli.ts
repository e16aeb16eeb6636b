// SNLI (Bowman et al. 2015): the official jsonl and txt files, or plain jsonl. Same classes as MultiNLI.
import type { DatasetSource } from "../source-row";
import { agreedOnly, inferenceLabels, readSentencePairs } from "./sentence-pairs";

export const snli: DatasetSource = {
  labels: inferenceLabels,
  read: (path) => agreedOnly(readSentencePairs(path)),
};
