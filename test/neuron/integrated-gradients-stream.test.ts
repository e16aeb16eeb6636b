// Streams of integrated gradients: the same scores block by block, into a folder, resumed to the same bytes, refused for other arguments.
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selectInstances } from "../../lib/data/instances";
import { integratedGradients } from "../../lib/neuron/integrated-gradients";
import {
  integratedGradientsStream,
  integratedGradientsTo,
  type IntegratedGradientsToOptions,
} from "../../lib/neuron/integrated-gradients-stream";
import { openNeuronScores, readNeuronRow, readNeuronScores } from "../../lib/results/stream/neuron-scores";
import { select } from "../../lib/results/top";
import { createModel } from "../../lib/model/create-model";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { relativeDifference } from "../model/golden-cases";
import { open, raggedInstances } from "../model/golden-tensors";
import { refusal } from "../storage/refusal";

/** Other batches, other orders of the same float32 sums. */
const orderTolerance = 1e-5;

let model: Model;
let instances: Instances;
const folder = () => join(mkdtempSync(join(tmpdir(), "neuron-scores-")), "na");
const hashes = (directory: string) =>
  Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(directory, name)))
          .digest("hex"),
      ]),
  );
beforeAll(async () => {
  model = await open("gpt2-classification");
  instances = raggedInstances("classification", 11);
});
afterAll(() => model.close());

test.each(["neurons", "heads", "both"] as const)(
  "blocks of %s are the scores of the whole, in order, with what is listed per instance",
  async (site) => {
    const lists = {
      of: Array.from({ length: 11 }, (_, i) => i % 3),
      contrast: Array.from({ length: 11 }, (_, i) => (i + 1) % 3),
      site,
    };
    const whole = await integratedGradients(model, instances, lists);
    const [scores, ids, labels]: [number[], string[], number[]] = [[], [], []];
    const seen: number[] = [];
    for await (const block of integratedGradientsStream(model, instances, {
      ...lists,
      blockInstances: 4,
      onProgress: ({ done, total }) => {
        seen.push(done);
        expect(total).toBe(11);
      },
    })) {
      expect([block.kind, block.site, block.units]).toEqual(["neurons", site, whole.units]);
      expect(block.instances).toBe(ids.length === 8 ? 3 : 4);
      scores.push(...block.scores);
      ids.push(...block.instanceIds);
      labels.push(...block.targetLabels);
    }
    expect(relativeDifference(scores, whole.scores)).toBeLessThan(orderTolerance);
    expect([ids, labels]).toEqual([[...instances.ids], lists.of]);
    expect(seen.at(-1)).toBe(11);
  },
);

test("a loop that is left does no more work", async () => {
  let done = 0;
  for await (const block of integratedGradientsStream(model, instances, { blockInstances: 1 })) {
    done += block.instances;
    if (done === 2) break;
  }
  expect(done).toBe(2);
});

test.each<IntegratedGradientsToOptions["select"]>([
  undefined,
  { keep: "all" },
  { topK: 3 },
  { fractionOfMaximum: 0.1 },
])("a folder with selection %j gives its rows, and a range as an attribution", async (selection) => {
  const directory = folder();
  const made = await integratedGradientsTo(directory, model, instances, { select: selection, blockInstances: 4 });
  const scores = await openNeuronScores(directory, { verify: "contents" });
  expect(scores).toEqual(made);
  const whole = await integratedGradients(model, instances);
  for (const row of [0, 5, 10]) {
    const { id, indices, scores: own, targetValue, completenessGap } = await readNeuronRow(scores, row);
    expect(id).toBe(instances.ids[row]);
    expect(targetValue).toBeCloseTo(whole.targetValues[row], 6);
    expect(completenessGap).toHaveLength(whole.layers);
    const wanted = select(whole, row, selection ?? { keep: "all" });
    if (selection === undefined || "keep" in selection) expect(indices).toHaveLength(wanted.length);
    else expect(Array.from(indices)).toEqual(wanted.map(({ index }) => index));
    own.forEach((score, k) =>
      expect(Math.abs(score - whole.scores[row * whole.layers * whole.units + indices[k]])).toBeLessThan(
        orderTolerance,
      ),
    );
  }
  const part = await readNeuronScores(scores, { first: 3, count: 6 });
  expect(part.instanceIds).toEqual(instances.ids.slice(3, 9));
  expect(part.scores).toHaveLength(6 * whole.layers * whole.units);
  const direct = await integratedGradients(model, selectInstances(instances, [3, 4, 5, 6, 7, 8]));
  expect(select(part, 2, { topK: 3 }).map(({ index }) => index)).toEqual(
    select(direct, 2, { topK: 3 }).map(({ index }) => index),
  );
  expect((await readNeuronScores(scores)).instances).toBe(11);
});

test.each<IntegratedGradientsToOptions["select"]>([{ keep: "all" }, { topK: 5 }])(
  "stopped anywhere and made again, a folder with %j ends with the same bytes",
  async (selection) => {
    const options = { select: selection, blockInstances: 2, nodes: 5 };
    const [straight, broken] = [folder(), folder()];
    await integratedGradientsTo(straight, model, instances, options);
    for (const stop of [0, 1, 5, 8]) {
      const aborting = new AbortController();
      const onProgress = ({ done }: { done: number }) => {
        if (done >= stop) aborting.abort();
      };
      await expect(
        integratedGradientsTo(broken, model, instances, { ...options, signal: aborting.signal, onProgress }),
      ).rejects.toMatchObject(refusal("aborted", /./));
      await expect(openNeuronScores(broken)).rejects.toMatchObject(refusal("missing", /not finished/));
      writeFileSync(join(broken, "scores-00004.safetensors.partial-01234567-1-1-0123456789ab"), "torn"); // what a killed writer leaves
    }
    expect(readdirSync(broken).length).toBeGreaterThan(3);
    truncateSync(join(broken, "scores-00001.safetensors"), 100); // a block that a broken disk tore is made again
    await integratedGradientsTo(broken, model, instances, options);
    expect(hashes(broken)).toEqual(hashes(straight));
    await integratedGradientsTo(broken, model, instances, options);
    expect(hashes(broken)).toEqual(hashes(straight));
  },
);

test("other arguments are refused and named, whether the folder is finished or not", async () => {
  const directory = folder();
  const options: IntegratedGradientsToOptions = { select: { topK: 5 }, blockInstances: 4 };
  await expect(
    integratedGradientsTo(directory, model, instances, {
      ...options,
      onProgress: ({ done }) => {
        if (done > 4) throw new Error("enough");
      },
    }),
  ).rejects.toThrow("enough");
  using other = await createModel(model.config, { labels: ["a", "b", "c"] });
  const refusedAll = async () => {
    const again = (changes: IntegratedGradientsToOptions, of = model, over = instances) =>
      expect(integratedGradientsTo(directory, of, over, { ...options, ...changes })).rejects;
    await again({ nodes: 7 }).toMatchObject(refusal("mismatch", /"options.nodes" was 8, but this call has 7/));
    await again({ select: { topK: 6 } }).toMatchObject(refusal("mismatch", /"select.topK"/));
    await again({ baseline: { neurons: new Float32Array(2 * model.architecture.intermediate) } }).toMatchObject(
      refusal("mismatch", /baseline/),
    );
    await again({ blockInstances: 3 }).toMatchObject(refusal("mismatch", /"blockInstances"/));
    await again({ of: "gold" }).toMatchObject(refusal("mismatch", /"unit"|"options.of"/));
    await again({}, other).toMatchObject(refusal("mismatch", /"modelHash"/));
    await again({}, model, selectInstances(instances, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])).toMatchObject(
      refusal("mismatch", /"dataHashes.instances"/),
    );
  };
  await refusedAll();
  await integratedGradientsTo(directory, model, instances, options);
  await refusedAll();
});

test("what is damaged, foreign or no folder of scores is refused", async () => {
  const directory = folder();
  await expect(openNeuronScores(directory)).rejects.toMatchObject(refusal("missing", /no neuron scores/));
  const scores = await integratedGradientsTo(directory, model, instances, { blockInstances: 6 });
  await expect(readNeuronRow(scores, 11)).rejects.toMatchObject(refusal("invalid", /"row"/));
  await expect(readNeuronScores(scores, { first: 5, count: 7 })).rejects.toMatchObject(refusal("invalid", /"count"/));
  const file = join(directory, "scores-00000.safetensors");
  const bytes = readFileSync(file);
  bytes[bytes.length - 60] ^= 1;
  writeFileSync(file, bytes);
  await expect(openNeuronScores(directory, { verify: "contents" })).rejects.toMatchObject(
    refusal("corrupt", /contents/),
  );
  truncateSync(file, bytes.length - 4);
  await expect(openNeuronScores(directory)).rejects.toMatchObject(refusal("corrupt", /truncated/));
  writeFileSync(
    join(directory, "manifest.json"),
    readFileSync(join(directory, "manifest.json"), "utf8").replace('"layers": 2', '"layers": 3'),
  );
  await expect(openNeuronScores(directory)).rejects.toMatchObject(refusal("corrupt", /changed/));
  rmSync(join(directory, "manifest.json"));
  writeFileSync(join(directory, "notes.txt"), "mine");
  await expect(integratedGradientsTo(directory, model, instances)).rejects.toMatchObject(
    refusal("invalid", /notes.txt/),
  );
  await expect(integratedGradientsTo(folder(), model, instances, { select: { topK: 0 } })).rejects.toMatchObject(
    refusal("invalid", /"topK"/),
  );
  await expect(integratedGradientsTo(folder(), model, instances, { block: 3 } as never)).rejects.toMatchObject(
    refusal("unknown", /"block"/),
  );
});
