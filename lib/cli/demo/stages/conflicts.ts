// The queries on which instance attribution and neuron attribution disagree most, with an ablation that says which of the two
// the prediction rests on: the neurons that each names are taken away, and the larger loss of probability tells.
import { conflicts } from "../../../analysis/conflicts";
import { selectInstances } from "../../../data/instances";
import { comprehensiveness } from "../../../faithfulness/comprehensiveness";
import { rowScores } from "../../../results/top";
import type { Conflict } from "../../../../types/analysis";
import type { NeuronAttribution } from "../../../../types/results";
import type { Session } from "../session";
import type { Subject } from "../subject";
import type { AlignmentStage } from "./alignment";
import type { InstanceStage } from "./instances";
import type { NeuronStage } from "./neurons";

export interface Judged extends Conflict {
  /** Neurons taken away on either side. */
  readonly r: number;
  /** Change of the predicted class's probability without the query's own top neurons. */
  readonly withoutNa: number;
  /** The same without the neurons of its most influential training claims. */
  readonly withoutIa: number;
  readonly withoutRandom: number;
}

export async function findConflicts(
  session: Session,
  subject: Subject,
  instances: InstanceStage,
  neurons: NeuronStage,
  aligned: AlignmentStage,
): Promise<readonly Judged[]> {
  const all = await conflicts(instances.influence.attribution, aligned.naInstances.attribution);
  const found = all.slice(0, subject.recipe.conflicts);
  return session.step("Conflicts of the two views", async (call) => {
    const judged: Judged[] = [];
    for (const conflict of found) {
      const [na, ia] = [rowOf(neurons.integrated, conflict.query), rowOf(aligned.iaNeurons, conflict.query)];
      const query = selectInstances(subject.queries, [conflict.query]);
      const r = Math.max(1, Math.min(10, rowScores(ia, 0).filter((score) => score > 0).length));
      const without = async (attribution: NeuronAttribution) =>
        (
          await comprehensiveness(subject.model, query, attribution, {
            r: [r],
            controls: 20,
            seed: session.seed,
            ...call,
          })
        ).points[0];
      const [byNa, byIa] = [await without(na), await without(ia)];
      judged.push({
        ...conflict,
        r,
        withoutNa: byNa.probabilityChange.mean,
        withoutIa: byIa.probabilityChange.mean,
        withoutRandom: byNa.randomProbabilityChange.mean,
      });
    }
    return judged;
  });
}

/** One row of a neuron attribution as an attribution of its own. */
function rowOf(attribution: NeuronAttribution, row: number): NeuronAttribution {
  const { layers, targetValues, targetLabels, completenessGap, instanceIds } = attribution;
  return {
    ...attribution,
    instances: 1,
    instanceIds: [instanceIds[row]],
    scores: rowScores(attribution, row).slice(),
    targetValues: targetValues.slice(row, row + 1),
    targetLabels: targetLabels.slice(row, row + 1),
    completenessGap: completenessGap.slice(row * layers, (row + 1) * layers),
  };
}
