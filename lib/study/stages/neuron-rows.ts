// A ranking's four tests as a row of the results, with MIB's two areas.
import type { NeuronCurve } from "../../../types/results";
import type { NeuronTestRow } from "../results";
import type { NeuronTests } from "./test";

export function testRow(
  { name, site, sufficiency, comprehensiveness, deletion, insertion }: NeuronTests,
  units: number,
): NeuronTestRow {
  const area = ({ area: own, randomArea, difference }: NeuronCurve) => ({ area: own, random: randomArea, difference });
  const [mib, randomMib] = [
    mibAreas(insertion, ({ value }) => value.mean),
    mibAreas(insertion, ({ randomValue }) => randomValue.mean),
  ];
  return {
    method: name,
    site,
    units,
    sufficiency: sufficiency.points,
    comprehensiveness: comprehensiveness.points,
    deletion: area(deletion),
    insertion: area(insertion),
    curve: deletion.points.map((point, at) => ({
      fraction: point.fraction,
      deletion: point.value,
      randomDeletion: point.randomValue,
      insertion: insertion.points[at].value,
      randomInsertion: insertion.points[at].randomValue,
    })),
    cpr: mib.cpr,
    cmd: mib.cmd,
    randomCpr: randomMib.cpr,
    randomCmd: randomMib.cmd,
  };
}

/** MIB's two areas (arXiv 2504.13151) of the insertion curve, whose units outside the chosen ones are set to zero. */
export function mibAreas(
  { points }: NeuronCurve,
  valueOf: (point: NeuronCurve["points"][number]) => number,
): { cpr: number; cmd: number } {
  const [none, all] = [valueOf(points[0]), valueOf(points[points.length - 1])];
  const faithful = points.map((point) => (valueOf(point) - none) / (all - none));
  const area = (values: readonly number[]): number =>
    values
      .slice(1)
      .reduce(
        (sum, value, at) => sum + ((value + values[at]) / 2) * (points[at + 1].fraction - points[at].fraction),
        0,
      );
  return { cpr: area(faithful), cmd: area(faithful.map((value) => Math.abs(1 - value))) };
}
