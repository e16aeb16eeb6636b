// The short form of `npm run attack`: a fixed seed and few tries of each attack. Nothing dies, hangs, or fails in another way than by an
// AttributionError.
import { runAttacks } from "./run";

test("attacks find nothing", async () => {
  const reports = await runAttacks({
    seed: 1,
    minutes: 10, // the tries below end it
    tries: { "damaged files": 60, misuse: 120, "cut files": 8, "killed writers": 2, "failing disk": 2 },
  });
  expect(reports.flatMap(({ findings }) => findings)).toEqual([]);
  expect(reports.map(({ tries }) => tries)).toEqual([60, 120, 8, 2, 2]);
}, 300_000);
