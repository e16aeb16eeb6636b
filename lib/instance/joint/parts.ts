// What the core is asked for a joint attribution, of whole gradients and of features.
import type { NativeJoint, NativeJointRequest } from "../../../types/native-joint";
import type { GradientStore } from "../../../types/store";
import { selectInstances } from "../../data/instances";
import { handleOf } from "../../model/model";
import { batchTokensOf } from "../../model/batching";
import { native, runNative } from "../../native";
import { exactParams } from "../breakdown/exact";
import { featureSides, inverseLengths, type SidesRequest, withOwnStore, withoutTokens } from "../breakdown/features";
import { distinct, isStore } from "../breakdown/request";
import { nativeSettings } from "../store/projection";

export interface JointRequest extends SidesRequest {
  readonly k: number;
  /** No pair's units, only the sums over all pairs. */
  readonly sumsOnly: boolean;
}

export interface JointParts {
  readonly joint: NativeJoint;
  readonly modules: readonly string[];
}

export async function exactJoint(request: JointRequest): Promise<JointParts> {
  const { model, queries, pairs, given } = request;
  const { train, params } = await exactParams(request);
  const [q, z] = [distinct(pairs.queries), distinct(pairs.trains)];
  const [sources, targets] = [selectInstances(queries, q.chosen), selectInstances(train, z.chosen)];
  const nativeParams = { ...params, ...nativeRequest(request, q.indices, z.indices) };
  const joint = await runNative(
    (control) => native().influenceUnits(handleOf(model), train, sources, targets, nativeParams, control),
    { signal: given.signal, onProgress: given.onProgress },
  );
  return { joint: overAllQueries(joint, q.chosen, queries.size), modules: params.modules };
}

export function featureJoint(request: JointRequest): Promise<JointParts> {
  if (isStore(request.train)) throw withoutTokens();
  return withOwnStore(request, (store) => jointOver(store, request));
}

async function jointOver(store: GradientStore, request: JointRequest): Promise<JointParts> {
  const { model, train, queries, given } = request;
  const { call, isCosine, q, z, features, rows, queryVectors, rowVectors } = await featureSides(store, request, false);
  const none = new Float64Array(0);
  const params = {
    ...nativeRequest(request, q.indices, z.indices),
    settings: await nativeSettings(store.directory, store.settings),
    vectors: queryVectors!,
    width: store.width,
    sourceScales: isCosine ? inverseLengths(store.width, features, queryVectors!) : none,
    targetScales: isCosine ? inverseLengths(store.width, rows, rowVectors!) : none,
    batchTokens: batchTokensOf({ ...given }),
  };
  const targets = selectInstances(train as Exclude<typeof train, GradientStore>, z.chosen);
  const joint = await runNative((control) => native().featureUnits(handleOf(model), targets, params, control), call);
  return { joint: overAllQueries(joint, q.chosen, queries.size), modules: store.settings.modules };
}

function nativeRequest({ k, sumsOnly }: JointRequest, sources: Int32Array, targets: Int32Array): NativeJointRequest {
  const none = new Int32Array(0);
  return { sources: sumsOnly ? none : sources, targets: sumsOnly ? none : targets, kept: k, only: -1, sumsOnly };
}

/** The sums of the queries that have pairs, with a row for each query. */
function overAllQueries(joint: NativeJoint, chosen: readonly number[], queries: number): NativeJoint {
  if (chosen.length === queries) return joint;
  const width = joint.sums.length / chosen.length;
  const [sums, restSums] = [new Float64Array(queries * width), new Float64Array(queries)];
  chosen.forEach((query, index) => {
    sums.set(joint.sums.subarray(index * width, (index + 1) * width), query * width);
    restSums[query] = joint.restSums[index];
  });
  return { ...joint, sums, restSums };
}
