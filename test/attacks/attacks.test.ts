// The short form of `npm run attack`: a fixed seed and few tries of each attack. Nothing dies, hangs, or fails in another way than by an
// AttributionError.
import { runAttacks } from "./run";

test("attacks find nothing", async () => {
  const reports = await runAttacks({
    seed: 1,
    minutes: 10, // the tries below end it
    tries: { "damaged files": 40, misuse: 40, "cut files": 4, "killed writers": 1, "failing disk": 1 },
  });
  expect(reports.flatMap(({ findings }) => findings)).toEqual([]);
  expect(reports.map(({ tries }) => tries)).toEqual([40, 40, 4, 1, 1]);
}, 300_000);
