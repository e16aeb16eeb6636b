// Methods over the checkpoints of a run, against the same sums in TypeScript; Adam's moments against their recursion.
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  type Checkpoint,
  buildGradientStore,
  fineTune,
  gradientSimilarity,
  loadModel,
  optimizerAwareSimilarity,
  selectInstances,
  tracInCheckpoints,
  trak,
  trakCheckpoints,
} from "../../lib/index";
import type { GradientStore, Instances, Model, Parameters } from "../../lib/index";
import { momentFiles, readTrainingState } from "../../lib/model/training-state";
import { readTensors } from "../../lib/storage/tensors";
import { relativeDifference } from "../model/golden-cases";
import { gradientName, open, raggedInstances } from "../model/golden-tensors";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { dot, featuresOf, type Matrix, settingsFor } from "./feature-algebra";
import { goldenPair, type GoldenPair } from "./golden-pair";

/** float32 against sums in doubles. */
const formulaTolerance = 2e-5;
/** Γ divides by √(v + ε) with v as small as 1e-12: rounding of g² shows. */
const stepTolerance = 1e-3;

const root = scratch();
const run = join(root, "run");
const folders = [join(run, "epoch-1"), join(run, "epoch-2")];
const betas = [0.8, 0.99] as const;
let pair: GoldenPair;

beforeAll(async () => {
  pair = await goldenPair("float32");
  (
    await fineTune(pair.model, pair.train, {
      epochs: 2,
      batchSize: 2,
      learningRate: 1e-3,
      betas,
      dropout: false,
      checkpoints: run,
      optimizerState: true,
    })
  ).close();
});
afterAll(() => pair.model.close());

const each = async <T>(use: (model: Model, place: number) => Promise<T>): Promise<T[]> => {
  const results: T[] = [];
  for (const [place, folder] of folders.entries()) {
    using model = await loadModel(folder);
    results.push(await use(model, place));
  }
  return results;
};
const rates = () => Promise.all(folders.map(async (folder) => (await readTrainingState(folder))!.learningRate));

/**
 * A moment of the selected modules, laid out as features of rank 0: per module [output, input (+ 1 with a bias)], of a norm weight and bias.
 * GPT-2 stores [input, output].
 */
async function momentOf(
  model: Model,
  folder: string,
  kind: keyof typeof momentFiles,
  modules: readonly string[],
): Promise<number[]> {
  const { tensors } = await readTensors(join(folder, momentFiles[kind]));
  const tensor = (weight: string) => tensors[gradientName(model, weight).replace(/^gradient\./, "")];
  return modules.flatMap((module) => {
    const { data, shape } = tensor(`${module}.weight`);
    const isTransposed = model.architecture.family === "gpt2" && module.startsWith("layers.");
    const [outputs, inputs] = isTransposed ? [shape[1], shape[0]] : shape;
    const row = (o: number) =>
      isTransposed
        ? Array.from({ length: inputs }, (_, i) => data[i * outputs + o])
        : Array.from(data.subarray(o * inputs, (o + 1) * inputs));
    const bias = tensor(`${module}.bias`);
    if (shape.length === 1) return [...data, ...(bias?.data ?? [])] as number[];
    return Array.from({ length: outputs }, (_, o) => [...row(o), ...(bias === undefined ? [] : [bias.data[o]])]).flat();
  });
}

describe("fineTune's checkpoints", () => {
  test("tell the epoch's mean learning rate and the steps made", async () => {
    // Three steps an epoch, linear from 1e-3 to 0 over six.
    expect(await readTrainingState(folders[0])).toEqual({
      epoch: 1,
      step: 3,
      learningRate: expect.closeTo((1e-3 * (6 + 5 + 4)) / 18, 12),
      betas,
    });
    expect(await readTrainingState(folders[1])).toEqual({
      epoch: 2,
      step: 6,
      learningRate: expect.closeTo((1e-3 * (3 + 2 + 1)) / 18, 12),
      betas,
    });
  });

  test("hold Adam's moments: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g² over the steps", async () => {
    const still = join(root, "still"); // so small a rate that the model stays as it is
    const { model, train } = pair;
    (
      await fineTune(model, train, {
        epochs: 1,
        batchSize: 2,
        learningRate: 1e-12,
        weightDecay: 0,
        betas,
        clip: 0,
        dropout: false,
        order: "given",
        checkpoints: still,
        optimizerState: true,
      })
    ).close();
    const settings = settingsFor(model, "linear", { reduction: "mean" });
    const { rows } = await featuresOf(model, train, settings);
    const [m, v] = [rows[0].map(() => 0), rows[0].map(() => 0)];
    for (let step = 0; step < 3; step++) {
      rows[0].forEach((_, i) => {
        const g = (rows[2 * step][i] + rows[2 * step + 1][i]) / 2;
        m[i] = betas[0] * m[i] + (1 - betas[0]) * g;
        v[i] = betas[1] * v[i] + (1 - betas[1]) * g * g;
      });
    }
    expect(
      relativeDifference(await momentOf(model, join(still, "epoch-1"), "first", settings.modules), m),
    ).toBeLessThan(formulaTolerance);
    expect(
      relativeDifference(await momentOf(model, join(still, "epoch-1"), "second", settings.modules), v),
    ).toBeLessThan(formulaTolerance);
  });

  test("hold no moments unless asked, and none without a folder", async () => {
    const plain = join(root, "plain");
    (await fineTune(pair.model, pair.train, { epochs: 1, checkpoints: plain })).close();
    expect(existsSync(join(plain, "epoch-1", momentFiles.first))).toBe(false);
    await expect(fineTune(pair.model, pair.train, { optimizerState: true })).rejects.toMatchObject(
      refusal("invalid", /"checkpoints"/),
    );
  });
});

describe("tracInCheckpoints is Σ η ⟨∇L(q), ∇L(z)⟩", () => {
  test.each(["dot", "cosine"] as const)("by %s", async (similarity) => {
    const [parts, weights] = [
      await each((model) => gradientSimilarity(model, pair.train, pair.queries, { similarity })),
      await rates(),
    ];
    const wanted = Array.from(parts[0].scores, (_, i) =>
      parts.reduce((sum, { scores }, c) => sum + weights[c] * scores[i], 0),
    );
    const found = await tracInCheckpoints(folders, pair.train, pair.queries, { similarity });
    expect(relativeDifference(found.scores, wanted)).toBeLessThan(1e-6);
    expect(found.provenance).toMatchObject({
      method: "tracInCheckpoints",
      options: { learningRates: weights },
      modelHash: expect.stringMatching(/^\w+\+\w+$/),
      dataHashes: { train: pair.train.hash },
    });
  });

  test("of open models with rates of their own, which stay open", async () => {
    const alone = await gradientSimilarity(pair.model, pair.train, pair.queries);
    const found = await tracInCheckpoints(
      [
        { model: pair.model, learningRate: 0.25 },
        { model: pair.model, learningRate: 0.5 },
      ],
      pair.train,
      pair.queries,
    );
    expect(
      relativeDifference(
        found.scores,
        alone.scores.map((score) => 0.75 * score),
      ),
    ).toBeLessThan(1e-6);
    expect(pair.model.closed).toBe(false);
  });

  test("of exact stores, one for each", async () => {
    const stores = await each((model, place) =>
      buildGradientStore(model, pair.train, join(root, `exact-${place}`), {
        parameters: "mlp",
        rank: 0,
        precision: "float32",
      }),
    );
    const [stored, direct] = [
      await tracInCheckpoints(folders, stores, pair.queries),
      await tracInCheckpoints(folders, pair.train, pair.queries),
    ];
    expect(relativeDifference(stored.scores, direct.scores)).toBeLessThan(formulaTolerance);
    await expect(tracInCheckpoints(folders, stores, pair.queries, { parameters: "mlp" })).rejects.toMatchObject(
      refusal("invalid", /the stores'/),
    );
    await expect(tracInCheckpoints(folders, [stores[1], stores[0]], pair.queries)).rejects.toMatchObject(
      refusal("mismatch", /another model/),
    );
    await expect(tracInCheckpoints(folders, stores.slice(1), pair.queries)).rejects.toMatchObject(
      refusal("mismatch", /store for each of the 2/),
    );
  });
});

describe("trakCheckpoints is the mean kernel times the mean 1 − p", () => {
  const options = { parameters: "linear", rank: 3 } as const;
  const doubts = (model: Model) =>
    featuresOf(model, pair.train, settingsFor(model, "linear")).then(({ losses }) =>
      Array.from(losses, (loss) => 1 - Math.exp(-loss)),
    );

  test("of instances and of stores", async () => {
    const kernels = await each(async (model) => {
      const own = await doubts(model);
      return {
        own,
        scores: (await trak(model, pair.train, pair.queries, options)).scores.map(
          (score, i) => score / own[i % own.length],
        ),
      };
    });
    const mean = (of: (kernel: (typeof kernels)[0]) => number) =>
      kernels.reduce((sum, kernel) => sum + of(kernel) / 2, 0);
    const wanted = Array.from(
      kernels[0].scores,
      (_, i) => mean(({ scores }) => scores[i]) * mean(({ own }) => own[i % own.length]),
    );
    const found = await trakCheckpoints(folders, pair.train, pair.queries, options);
    expect(relativeDifference(found.scores, wanted)).toBeLessThan(formulaTolerance);
    const stores: GradientStore[] = await each((model, place) =>
      buildGradientStore(model, pair.train, join(root, `projected-${place}`), { ...options, precision: "float32" }),
    );
    expect(
      relativeDifference((await trakCheckpoints(folders, stores, pair.queries)).scores, found.scores),
    ).toBeLessThan(1e-6);
  });

  test("of one checkpoint is trak", async () => {
    const alone = await trak(pair.model, pair.train, pair.queries, options);
    const found = await trakCheckpoints([{ model: pair.model }], pair.train, pair.queries, options);
    expect(relativeDifference(found.scores, alone.scores)).toBeLessThan(1e-6);
  });
});

describe("optimizerAwareSimilarity is Σ η cos(∇L(q), Γ(z))", () => {
  const norm = (row: readonly number[]) => Math.sqrt(dot(row, row));
  const wantedAt = async (
    model: Model,
    folder: string,
    [train, queries]: readonly [Instances, Instances],
    parameters: Parameters,
    cosine: boolean,
  ): Promise<number[]> => {
    const settings = settingsFor(model, parameters, { reduction: "mean" });
    const rate = (await readTrainingState(folder))!.learningRate;
    const [rows, asked] = [
      (await featuresOf(model, train, settings)).rows,
      (await featuresOf(model, queries, settings)).rows,
    ];
    const [m, v] = [
      await momentOf(model, folder, "first", settings.modules),
      await momentOf(model, folder, "second", settings.modules),
    ];
    const steps: Matrix = rows.map((g) =>
      g.map(
        (value, i) =>
          (betas[0] * m[i] + (1 - betas[0]) * value) / Math.sqrt(betas[1] * v[i] + (1 - betas[1]) * value ** 2 + 1e-8),
      ),
    );
    return asked.flatMap((q) => steps.map((step) => (rate * dot(q, step)) / (cosine ? norm(q) * norm(step) : 1)));
  };
  const wanted = async (parameters: Parameters, cosine: boolean): Promise<number[]> => {
    const parts = await each((model, place) =>
      wantedAt(model, folders[place], [pair.train, pair.queries], parameters, cosine),
    );
    return parts[0].map((_, i) => parts.reduce((sum, part) => sum + part[i], 0));
  };

  test.each([
    ["mlp", "cosine"],
    ["linear", "cosine"],
    ["head", "dot"],
    ["embedding", "cosine"],
    ["norm", "cosine"],
    ["all", "dot"],
  ] as const)("over %s by %s", async (parameters, similarity) => {
    const found = await optimizerAwareSimilarity(folders, pair.train, pair.queries, { parameters, similarity });
    expect(relativeDifference(found.scores, await wanted(parameters, similarity === "cosine"))).toBeLessThan(
      stepTolerance,
    );
    expect(found.provenance).toMatchObject({
      method: "optimizerAwareSimilarity",
      options: { betas, similarity, reduction: "mean" },
    });
  });

  test("of a model that stores its weights transposed", async () => {
    using base = await open("gpt2-classification");
    const [train, queries] = [
      raggedInstances("classification"),
      selectInstances(raggedInstances("classification", 7), [6, 2]),
    ];
    const folder = join(root, "gpt2");
    (
      await fineTune(base, train, {
        epochs: 1,
        batchSize: 2,
        learningRate: 1e-3,
        betas,
        dropout: false,
        checkpoints: folder,
        optimizerState: true,
      })
    ).close();
    using model = await loadModel(join(folder, "epoch-1"));
    const found = await optimizerAwareSimilarity([join(folder, "epoch-1")], train, queries, { parameters: "linear" });
    expect(
      relativeDifference(
        found.scores,
        await wantedAt(model, join(folder, "epoch-1"), [train, queries], "linear", true),
      ),
    ).toBeLessThan(stepTolerance);
  });

  test("of a tied token embedding, whose moments are of both uses", async () => {
    using base = await open("gpt2");
    const [train, queries] = [raggedInstances("causalLM", 4), selectInstances(raggedInstances("causalLM", 7), [6, 2])];
    const folder = join(root, "gpt2-lm");
    (
      await fineTune(base, train, {
        epochs: 1,
        batchSize: 2,
        learningRate: 1e-3,
        betas,
        dropout: false,
        checkpoints: folder,
        optimizerState: true,
      })
    ).close();
    using model = await loadModel(join(folder, "epoch-1"));
    const found = await optimizerAwareSimilarity([join(folder, "epoch-1")], train, queries, {
      parameters: "embedding",
    });
    expect(
      relativeDifference(
        found.scores,
        await wantedAt(model, join(folder, "epoch-1"), [train, queries], "embedding", true),
      ),
    ).toBeLessThan(stepTolerance);
  });

  test("whatever the budget and the batches", async () => {
    const whole = await optimizerAwareSimilarity(folders, pair.train, pair.queries, { parameters: "linear" });
    const width = settingsFor(pair.model, "linear");
    const bytes = 4 * (await featuresOf(pair.model, selectInstances(pair.train, [0]), width)).rows[0].length;
    const little = await optimizerAwareSimilarity(folders, pair.train, pair.queries, {
      parameters: "linear",
      memory: "2 MB",
      batchTokens: 1,
    });
    expect(relativeDifference(little.scores, whole.scores)).toBeLessThan(1e-5);
    await expect(
      optimizerAwareSimilarity(folders, pair.train, pair.queries, { parameters: "linear", memory: 6 * bytes }),
    ).rejects.toMatchObject(refusal("memory", /raise "memory"/));
  });
});

describe("refuses", () => {
  test.each<[string, readonly Checkpoint[], string, RegExp]>([
    ["no checkpoint", [], "invalid", /at least one checkpoint/],
    ["what is none", [5 as never], "invalid", /"checkpoints"/],
    ["a folder that is none", [join(root, "nowhere")], "missing", /nowhere/],
  ])("%s", async (_name, checkpoints, code, words) => {
    await expect(tracInCheckpoints(checkpoints, pair.train, pair.queries)).rejects.toMatchObject(
      refusal(code as never, words),
    );
  });

  test("models without a learning rate, and without Adam's moments", async () => {
    await expect(tracInCheckpoints([{ model: pair.model }], pair.train, pair.queries)).rejects.toMatchObject(
      refusal("missing", /learningRate/),
    );
    await expect(
      optimizerAwareSimilarity([{ model: pair.model, learningRate: 1 }], pair.train, pair.queries),
    ).rejects.toMatchObject(refusal("missing", /optimizerState/));
    const plain = join(root, "without-moments");
    (await fineTune(pair.model, pair.train, { epochs: 1, checkpoints: plain })).close();
    await expect(optimizerAwareSimilarity([join(plain, "epoch-1")], pair.train, pair.queries)).rejects.toMatchObject(
      refusal("missing", /first-moment.*optimizerState/s),
    );
  });
});
