// The fine-tuning test: is a model tuned on the most influential claims alone like the one tuned on all of them?
import { fineTuningTest, type FineTuningResult, type Subset } from "../../../faithfulness/fine-tuning-test";
import type { Session } from "../session";
import type { Subject } from "../subject";
import type { InstanceMethod } from "./method";

export interface TuningTest {
  readonly method: string;
  readonly result: FineTuningResult;
}

/** Random shares depend on the seed alone, so they are drawn with the first method only. */
export async function testTuning(
  session: Session,
  { base, train, queries, recipe, tuning }: Subject,
  methods: readonly InstanceMethod[],
): Promise<readonly TuningTest[]> {
  if (recipe.tuningTest === undefined || tuning.epochs === 0) return [];
  const { fractions, seeds } = recipe.tuningTest;
  const tests: TuningTest[] = [];
  for (const [at, { name, attribution }] of methods.entries()) {
    const subsets: Subset[] = at === 0 ? ["most", "least", "random"] : ["most", "least"];
    const result = await session.step(`Fine-tuning test: ${name}`, (call) =>
      fineTuningTest(base, train, queries, attribution, { fractions, seeds, subsets, fineTune: tuning, ...call }),
    );
    tests.push({ method: name, result });
  }
  return tests;
}
