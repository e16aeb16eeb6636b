// MultiNLI (Williams et al. 2018): https://cims.nyu.edu/~sbowman/multinli/, also as GLUE's MNLI. No download.
import type { DatasetSource } from "../source-row";
import { agreedOnly, inferenceLabels, readSentencePairs } from "./sentence-pairs";

export const mnli: DatasetSource = {
  labels: inferenceLabels,
  read: (path) => agreedOnly(readSentencePairs(path, ["genre"])),
};
