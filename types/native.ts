// The addon's surface: what lib/native.ts may call. Every job runs on the one engine thread and settles a promise.
// Shapes are row-major and written [outer, inner]. Instances travel as their typed arrays, which the call copies.
import type { NativeGradients } from "./native-gradients";
import type { NativeModels } from "./native-model";
import type { NativeNeurons } from "./native-neurons";
import type { NativeStores } from "./native-store";

export type * from "./native-call";
export type * from "./native-gradients";
export type * from "./native-model";
export type * from "./native-neurons";
export type * from "./native-store";

export interface NativeAddon extends NativeGradients, NativeModels, NativeNeurons, NativeStores {
  versions(): {
    readonly libtorch: string;
    readonly compiledWith: string;
    readonly cuda: boolean;
    readonly threads: number;
  };
  setThreads(threads: number): void;
  /** Cancels all jobs, waits for the running one's batch, and takes no more: for the end of the process. */
  stopEngine(): void;
  /** Locks a file until `unlockFile`, or until the process ends; undefined where someone else holds it. */
  lockFile(path: string): object | undefined;
  unlockFile(lock: object): void;
}
