// Generation with units changed: what a model goes on to say, beside what it says as it is.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { Continuation } from "../../types/results";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { checkFit } from "../model/fit";
import { handleOf } from "../model/model";
import { native, runNative } from "../native";
import { integer, onlyKnown } from "../options";
import {
  changeOf,
  type ChangeOptions,
  changeOptionNames,
  nativeSets,
  oneSetEach,
  siteOf,
  type UnitList,
  unitLists,
} from "./changed-units";

export interface GenerateOptions extends BatchOptions, ChangeOptions {
  /** Tokens of each continuation. @default 20 */
  readonly tokens?: number;
}

/**
 * Greedy continuations of prompts, as the model is (`before`) and with units changed at the prompt's last token and every later one
 * (`after`): what suppressing or enhancing them does to what the model says. `units` is one list for all prompts or a list for
 * each. Causal language models; nothing of the model is changed for later calls, and no token ends a continuation.
 * Cost: two full forwards per prompt and token.
 * @returns token ids; `model.tokenizer.decode` makes text of them
 * @example const [{ before, after }] = await generate(model, prompts, await refineNeurons(na), { kind: "scale", factor: 2, tokens: 10 });
 */
export async function generate(
  model: Model,
  prompts: Instances,
  units: UnitList,
  options?: GenerateOptions,
): Promise<Continuation[]> {
  const given = onlyKnown(options, [...batchOptionNames, ...changeOptionNames, "tokens"]);
  const tokens = integer(given, "tokens", 20, 1);
  checkFit(model, prompts, "prompts");
  const site = siteOf(units, given);
  const lists = unitLists(units, prompts.size, model.architecture, site);
  const target = { of: "probability", labels: "predicted" } as const;
  const run = (change: object, own: readonly Int32Array[]): Promise<Int32Array> => {
    const params = {
      ...nativeSets(model, oneSetEach(own), { site, change: "suppress", ...change, target }, given),
      tokens,
    };
    return runNative((control) => native().generate(handleOf(model), prompts, params, control), options);
  };
  const after = await run(changeOf(given, options), lists);
  const before = await run(
    {},
    lists.map(() => new Int32Array(0)),
  );
  const said = (all: Int32Array, i: number): Int32Array => all.slice(i * tokens, (i + 1) * tokens);
  return Array.from({ length: prompts.size }, (_, i) =>
    Object.freeze({ before: said(before, i), after: said(after, i) }),
  );
}
