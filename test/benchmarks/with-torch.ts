// The references need torch and transformers; where Python (ATTRIBUTION_PYTHON, or python3) has none, the cases cannot run at all.
import { spawnSync } from "node:child_process";
import { python } from "../../benchmarks/reference";

const hasTorch = spawnSync(python(), ["-c", "import torch, transformers"]).status === 0;
export const withTorch = hasTorch ? describe : describe.skip;
