// A model's weights are maps of its files. What another process does to the files is told in words, by the calls on that model.
import {
  cpSync,
  ftruncateSync,
  openSync,
  closeSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { evaluate } from "../../lib/model/evaluate";
import { fineTune } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import type { Model } from "../../types/model";
import { scratch } from "../storage/bytes";
import { refusal } from "../storage/refusal";
import { midSizeInstances, midSizeModel } from "./mid-size";

const directory = scratch();
const few = midSizeInstances(4);
let before: Float64Array;
beforeAll(async () => {
  const model = await midSizeModel();
  await saveModel(model, join(directory, "model"));
  before = (await evaluate(model, few)).losses;
  model.close();
});

let copies = 0;
/** A loaded copy of the model, with the path of its weights; their times lie in the past. */
async function loaded(): Promise<{ model: Model; weights: string }> {
  const folder = join(directory, `copy-${copies++}`);
  cpSync(join(directory, "model"), folder, { recursive: true });
  const weights = join(folder, "model.safetensors");
  utimesSync(weights, 1e9, 1e9);
  return { model: await loadModel(folder), weights };
}

function cut(file: string, bytes = 4096): void {
  const descriptor = openSync(file, "r+");
  ftruncateSync(descriptor, bytes);
  closeSync(descriptor);
}

function overwrite(file: string): void {
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, Buffer.alloc(4096, 0x3e), 0, 4096, statSync(file).size - 4096);
  closeSync(descriptor);
}

/** The process, and other models, go on as before. */
async function expectUnharmed(): Promise<void> {
  const { model } = await loaded();
  expect((await evaluate(model, few)).losses).toEqual(before);
  model.close();
}

describe("weights that another process", () => {
  test("cuts short before a call fail the calls on their model", async () => {
    const { model, weights } = await loaded();
    cut(weights);
    for (const call of [() => evaluate(model, few), () => saveModel(model, join(directory, "never"))])
      await expect(call()).rejects.toMatchObject(
        refusal("mismatch", /model\.safetensors" was cut from \d+ to 4096 bytes.*load it again/),
      );
    model.close();
    await expectUnharmed();
  });

  test("cuts short during a call fail that call, which reads zeros instead of dying", async () => {
    const { model, weights } = await loaded();
    let reports = 0;
    const call = evaluate(model, midSizeInstances(60), {
      batchTokens: 1,
      onProgress: () => {
        if (reports++ === 1) cut(weights);
      },
    });
    await expect(call).rejects.toMatchObject(refusal("mismatch", /was cut from/));
    expect(reports).toBeGreaterThan(1);
    model.close();
    await expectUnharmed();
  });

  test("overwrites at the same size fail the calls on their model, also where the times are set back", async () => {
    for (const setBack of [false, true]) {
      const { model, weights } = await loaded();
      overwrite(weights);
      if (setBack) utimesSync(weights, 1e9, 1e9);
      await expect(evaluate(model, few)).rejects.toMatchObject(refusal("mismatch", /was changed while it was in use/));
      model.close();
    }
    await expectUnharmed();
  });

  test("replaces by renaming, or removes, are the model's as before", async () => {
    for (const change of [
      (weights: string) => rmSync(weights),
      (weights: string) => {
        cpSync(weights, `${weights}.new`);
        overwrite(`${weights}.new`);
        renameSync(`${weights}.new`, weights);
      },
    ]) {
      const { model, weights } = await loaded();
      change(weights);
      expect((await evaluate(model, few)).losses).toEqual(before);
      model.close();
    }
  });

  test("changes after they were read into another type, or tuned, are no trouble", async () => {
    const { model, weights } = await loaded();
    const wide = await loadModel(join(weights, ".."), { dtype: "float64" });
    const tuned = await fineTune(model, few, { epochs: 1 });
    const losses = (await evaluate(tuned, few)).losses;
    overwrite(weights);
    expect((await evaluate(wide, few)).losses[0]).toBeCloseTo(before[0], 5);
    expect((await evaluate(tuned, few)).losses).toEqual(losses);
    [model, wide, tuned].forEach((each) => each.close());
  });
});
