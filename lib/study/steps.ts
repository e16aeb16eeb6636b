// A study as steps: each knows what it depends on before it runs, so that a plan needs no results and a run computes only what is
// not kept.
import type { CallOptions } from "../../types/common";
import { type Form, type Keeper, keyOf } from "./keeper";

export type Stage = "tune" | "attribute" | "test" | "analyse";

export interface Step<T> {
  readonly stage: Stage;
  readonly title: string;
  readonly key: string;
  /** Roughly, in tokens that go forward through the model. */
  readonly tokens: number;
  /** From this run, from what is kept, or computed and kept. */
  get(): Promise<T>;
}

export interface StepRequest<T> {
  readonly stage: Stage;
  readonly title: string;
  readonly form: Form;
  /** Steps and hashes that the result depends on. */
  readonly from: readonly (Step<unknown> | string)[];
  /** Everything else that it depends on; the method's name among it. */
  readonly options: unknown;
  readonly tokens: number;
  readonly work: (call: CallOptions) => Promise<T>;
  readonly outcome?: (value: T) => string;
}

/** What shows a run: a step's progress, or nothing. */
export interface Observer {
  readonly signal: AbortSignal;
  step<T>(title: string, work: (call: CallOptions) => Promise<T>, outcome?: (value: T) => string): Promise<T>;
}

export interface Workshop {
  step<T>(request: StepRequest<T>): Step<T>;
  readonly steps: readonly Step<unknown>[];
  readonly times: readonly StepTime[];
}

export interface StepTime {
  readonly title: string;
  readonly stage: Stage;
  readonly seconds: number;
  readonly isKept: boolean;
}

/** Raised when a stage computes something else than before, so that old results are not taken for new ones. */
const version = 1;

export function workshopOf(keeper: Keeper, observer: Observer): Workshop {
  const steps = new Map<string, Step<unknown>>();
  const times: StepTime[] = [];
  const step = <T>(request: StepRequest<T>): Step<T> => {
    const { stage, title, form, from, options, tokens } = request;
    const depends = from.map((each) => (typeof each === "string" ? each : each.key));
    const key = keyOf(stage, [version, depends, options]);
    const before = steps.get(key);
    if (before !== undefined) return before as Step<T>;
    let value: Promise<T> | undefined;
    const made: Step<T> = { stage, title, key, tokens, get: () => (value ??= find(request, key)) };
    steps.set(key, made);
    return made;

    async function find({ work, outcome }: StepRequest<T>, own: string): Promise<T> {
      const started = performance.now();
      const isKept = await keeper.has(own);
      const found = isKept
        ? await keeper.read<T>(own, form, { signal: observer.signal })
        : await observer.step(
            title,
            async (call) => {
              const result = await work(call);
              await keeper.keep(own, form, result, { stage, title, depends, options });
              return result;
            },
            outcome,
          );
      times.push({ title, stage, seconds: (performance.now() - started) / 1000, isKept });
      return found;
    }
  };
  return {
    step,
    get steps() {
      return [...steps.values()];
    },
    times,
  };
}
