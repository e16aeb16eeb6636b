// The Model object: what is known of a loaded model, and the only place that knows its native handle.
import { AttributionError, expected } from "../errors";
import { native } from "../native";
import type { Architecture, ComputeType, Device } from "../../types/architecture";
import type { Tokenizer } from "../../types/data";
import type { Model, ModelSource } from "../../types/model";
import type { NativeModel, NativeModelInfo } from "../../types/native";
import type { Config } from "./config/config-reader";

/** Everything of a model but its weights. */
export interface ModelDescription {
  readonly architecture: Architecture;
  readonly config: Config;
  readonly tokenizer: Tokenizer;
  readonly labels: readonly string[];
  readonly dtype: ComputeType;
  readonly device: Device;
  /** Where the weights were fetched from. */
  readonly source?: ModelSource;
  /** Where the weights lie, of a model with an adapter its base's: an absolute path or a hub id; absent where they lie nowhere. */
  readonly location?: string;
}

interface Owned {
  readonly native: NativeModel;
  readonly description: ModelDescription;
  isClosed: boolean;
}

const owned = new WeakMap<Model, Owned>();
/** Models may share a tokenizer (a fine-tuned one has its base's); the last one to close closes it. */
const tokenizerUsers = new WeakMap<Tokenizer, number>();

/** Makes a Model of a native handle, which it owns from now on. */
export function wrapModel(info: NativeModelInfo, description: ModelDescription): Model {
  const { architecture, tokenizer, dtype, device, source } = description;
  const state: Owned = { native: info.model, description, isClosed: false };
  tokenizerUsers.set(tokenizer, (tokenizerUsers.get(tokenizer) ?? 0) + 1);
  const close = (): void => closeOnce(state);
  const model: Model = Object.freeze({
    architecture,
    tokenizer,
    dtype,
    device,
    config: Object.freeze({ ...description.config }),
    labels: Object.freeze([...description.labels]),
    parameters: info.parameters,
    hash: info.hash,
    ...(source === undefined ? {} : { source }),
    get closed() {
      return state.isClosed;
    },
    close,
    [Symbol.dispose]: close,
  });
  owned.set(model, state);
  return model;
}

function closeOnce(state: Owned): void {
  if (state.isClosed) return;
  state.isClosed = true;
  native().closeModel(state.native);
  const { tokenizer } = state.description;
  const users = (tokenizerUsers.get(tokenizer) ?? 1) - 1;
  tokenizerUsers.set(tokenizer, users);
  if (users === 0) tokenizer.close();
}

function ownedOf(model: Model): Owned {
  const state = owned.get(model);
  if (state === undefined) throw expected("model", "a Model from loadModel, createModel or fineTune", model);
  if (state.isClosed) throw new AttributionError("invalid", "The model is closed. Load it again, or close it later");
  return state;
}

/** The native handle; "invalid" for a closed model and for anything that is no Model. */
export function handleOf(model: Model): NativeModel {
  return ownedOf(model).native;
}

/** Everything of a model but its weights. */
export function descriptionOf(model: Model): ModelDescription {
  return ownedOf(model).description;
}

/** A model with other weights and otherwise as `model`: its fine-tuned copy, or itself with or without an adapter. */
export function wrapLike(model: Model, info: NativeModelInfo, architecture = model.architecture): Model {
  const { source: _source, location, ...description } = ownedOf(model).description;
  // Other weights lie nowhere yet; an adapter's base is still the one that lies there.
  const base = architecture.adapter === undefined || location === undefined ? {} : { location };
  return wrapModel(info, { ...description, ...base, architecture });
}
