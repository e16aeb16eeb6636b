// Parts of the scores of gradient features, over a store.
import type { Instances } from "../../../types/data";
import type { NativeParts } from "../../../types/native";
import type { Quantity, QuantityLabel } from "../../../types/quantity";
import type { Provenance } from "../../../types/results";
import type { GradientStore } from "../../../types/store";
import { selectInstances } from "../../data/instances";
import { AttributionError } from "../../errors";
import { handleOf } from "../../model/model";
import { native, runNative } from "../../native";
import { ofQuantity } from "./exact";
import { type BreakdownRequest, distinct, isStore, type MadeParts, partCounts, scaledParts } from "./request";
import { nativeSettings } from "../store/projection";
import { doubtsFor, nativeStoreOf, noDoubts } from "../store/native-store";
import { preconditionerOf } from "../store/preconditioners";
import { queryFeatures, requireStore } from "../store/scores";
import { projectionOptionNames } from "../store/options";
import { withTemporaryStore } from "../store/source";

export async function featureParts(request: BreakdownRequest): Promise<MadeParts> {
  if (isStore(request.train) && request.by === "trainToken") throw withoutTokens();
  return withOwnStore(request, (store) => partsOver(store, request));
}

/** A store holds features only. */
export function withoutTokens(): AttributionError {
  return new AttributionError(
    "missing",
    `A store holds no tokens: give the training instances, and the store as the option "store"`,
  );
}

/** Calls `use` with the attribution's store: the given one, or one for the time of the call. */
export async function withOwnStore<T>(
  { model, train, made, given: { store, factors, signal, onProgress, batchTokens } }: SidesRequest,
  use: (store: GradientStore) => Promise<T>,
): Promise<T> {
  if (factors !== undefined) throw new AttributionError("invalid", `"factors" are EK-FAC's; "${made.method}" has none`);
  if (isStore(train)) return use(requireOwn(train, made));
  if (store !== undefined) return use(requireOwn(store, made));
  const { modules, ...settings } = made.options;
  const projection = Object.fromEntries(
    projectionOptionNames
      .filter((name) => settings[name] !== undefined && (name !== "mask" || settings["mask"] !== 0))
      .map((name) => [name, settings[name]]),
  );
  return withTemporaryStore(
    model,
    train,
    { ...projection, parameters: modules as string[], signal, onProgress, batchTokens },
    use,
  );
}

/** Refuses a store with whose features the attribution was not made. */
function requireOwn(store: GradientStore, made: Provenance): GradientStore {
  requireStore(store);
  const other = Object.entries(store.settings).find(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(made.options[name]),
  );
  const isOwn =
    other === undefined && store.dataHash === made.dataHashes["train"] && store.modelHash === made.modelHash;
  if (!isOwn)
    throw new AttributionError(
      "mismatch",
      `The store in ${store.directory} is not the one that the attribution "${made.method}" was made with`,
    );
  return store;
}

/** What the two sides of a score need of a request. */
export type SidesRequest = Omit<BreakdownRequest, "by">;

/** The features of the pairs' queries and training instances, as they are and preconditioned: of the queries, or of the rows. */
export async function featureSides(
  store: GradientStore,
  { model, queries, pairs, made, given }: SidesRequest,
  ofRows: boolean,
) {
  const { preconditioner, similarity, damping } = made.options;
  const call = { signal: given.signal, onProgress: given.onProgress };
  const chosen = preconditionerOf({ preconditioner, similarity, damping, memory: given.memory });
  const [q, z] = [distinct(pairs.queries), distinct(pairs.trains)];
  const querySet = selectInstances(queries, q.chosen);
  const of = quantityOfChosen(made.options["of"] as Quantity | undefined, q.chosen);
  const vectors = await queryFeatures(model, querySet, store, { ...call, batchTokens: given.batchTokens, of });
  const { features } = vectors;
  const rows = await runNative(
    (control) => native().storeRows(nativeStoreOf(store), { rows: Int32Array.from(z.chosen) }, control),
    call,
  );
  const { rowDoubts, queryDoubts } = await doubtsFor(chosen.kind, store, vectors);
  const precondition = (vectors: Float32Array, doubts: Float64Array) =>
    runNative(
      (control) =>
        native().storePreconditioned(
          nativeStoreOf(store),
          {
            preconditioner: chosen.kind,
            similarity: "dot",
            damping: chosen.damping,
            memoryBytes: chosen.memoryBytes,
            top: 0,
            rowDoubts,
            queryDoubts: doubts,
            queries: vectors,
          },
          control,
        ),
      call,
    );
  // TRAK: a row's 1 / (1 − p) and its score's 1 − p cancel. So rows enter as they are, and the query's factor is applied last.
  const isCosine = chosen.similarity === "cosine";
  const queryVectors = !ofRows || isCosine ? await precondition(features, queryDoubts) : undefined;
  const rowVectors = ofRows || isCosine ? await precondition(rows, noDoubts.queryDoubts) : undefined;
  return { call, isCosine, q, z, querySet, features, rows, rowDoubts, queryDoubts, queryVectors, rowVectors };
}

/** The quantity of some of the queries: of each its own label. */
function quantityOfChosen(of: Quantity | undefined, chosen: readonly number[]): Quantity | undefined {
  if (of === undefined) return undefined;
  const own = (label: QuantityLabel | undefined) =>
    typeof label === "object" ? chosen.map((query) => label[query]) : label;
  const { logit, probability, logProbability, contrast } = of;
  return {
    ...of,
    logit: own(logit),
    probability: own(probability),
    logProbability: own(logProbability),
    contrast: contrast && [own(contrast[0])!, own(contrast[1])!],
  };
}

async function partsOver(store: GradientStore, request: BreakdownRequest): Promise<MadeParts> {
  const { model, train, by, pairs } = request;
  const ofRows = by === "queryToken";
  if (ofRows && request.made.options["of"] !== undefined) throw ofQuantity();
  const { call, isCosine, q, z, querySet, features, rows, rowDoubts, queryDoubts, queryVectors, rowVectors } =
    await featureSides(store, request, ofRows);
  const doubts = rowDoubts.length > 0 ? Float64Array.from(pairs.trains, (row) => rowDoubts[row]) : undefined;
  const scaled = (parts: Float64Array, modules: readonly string[]): MadeParts => {
    const counts = partCounts(request, modules.length);
    if (isCosine)
      return {
        parts: scaledParts(
          parts,
          counts,
          cosineScales(store.width, [features, queryVectors!, q.indices], [rows, rowVectors!, z.indices]),
        ),
        modules,
      };
    return {
      parts:
        ofRows && doubts !== undefined
          ? scaledParts(
              parts,
              counts,
              Float64Array.from(q.indices, (index) => 1 / queryDoubts[index]),
            )
          : parts,
      modules,
      doubts,
    };
  };
  const isSplitByRow = by === "module" && store.settings.projection !== "dense";
  if (isSplitByRow)
    return scaled(
      segmentProducts(store, [queryVectors!, q.indices], [rows, z.indices]),
      store.segments.map(({ module }) => module),
    );
  if (isStore(train) && !ofRows)
    throw new AttributionError(
      "missing",
      `Modules share the features of a dense projection: give the training instances, and the store as the option "store"`,
    );
  const targets = ofRows
    ? { instances: querySet, indices: q.indices }
    : { instances: selectInstances(train as Instances, z.chosen), indices: z.indices };
  const wanted: NativeParts = {
    sources: ofRows ? z.indices : q.indices,
    targets: targets.indices,
    parts: by === "module" ? "modules" : "tokens",
  };
  const params = {
    ...wanted,
    settings: await nativeSettings(store.directory, store.settings),
    vectors: ofRows ? rowVectors! : queryVectors!,
    width: store.width,
  };
  return scaled(
    await runNative((control) => native().featureParts(handleOf(model), targets.instances, params, control), call),
    store.settings.modules,
  );
}

/** 1 / (√(qᵀMq) √(zᵀMz)) of each pair; 0 where a gradient is 0. */
function cosineScales(width: number, query: Side, row: Side): Float64Array {
  const [queries, rows] = [query, row].map(([features, vectors]) => inverseLengths(width, features, vectors));
  return Float64Array.from(query[2], (index, pair) => queries[index] * rows[row[2][pair]]);
}

/** 1 / √(xᵀMx) of each row x; 0 where it is 0. */
export function inverseLengths(width: number, features: Float32Array, vectors: Float64Array): Float64Array {
  return Float64Array.from({ length: features.length / width }, (_, row) => {
    const length = Math.sqrt(product(features, vectors, row * width, row * width, width));
    return length > 0 ? 1 / length : 0;
  });
}

type Side = readonly [features: Float32Array, vectors: Float64Array, index: Int32Array];

/** Inner products of each pair's vectors by module, [pair, module]. */
function segmentProducts(
  { segments, width }: GradientStore,
  [queries, queryPlaces]: readonly [Float64Array, Int32Array],
  [rows, rowPlaces]: readonly [Float32Array, Int32Array],
): Float64Array {
  const parts = new Float64Array(queryPlaces.length * segments.length);
  queryPlaces.forEach((query, pair) =>
    segments.forEach(({ begin, size }, module) => {
      parts[pair * segments.length + module] = product(
        queries,
        rows,
        query * width + begin,
        rowPlaces[pair] * width + begin,
        size,
      );
    }),
  );
  return parts;
}

function product(a: ArrayLike<number>, b: ArrayLike<number>, fromA: number, fromB: number, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += a[fromA + i] * b[fromB + i];
  return sum;
}
