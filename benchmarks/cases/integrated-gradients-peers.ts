// Captum on the same torch model, where ATTRIBUTION_CAPTUM_PYTHON (else the reference's Python) has it: its IntegratedGradients over
// a layer's neurons at the readout position, which are our scores, and its LayerIntegratedGradients, which moves all positions.
import type { NeuronAttribution } from "../../types/results";
import { relativeDifference } from "../agreement";
import type { Context } from "../benchmark";
import { floats, openReference, python, type Reference } from "../reference";
import type { Contender } from "../timing";

export interface CaptumPeer extends AsyncDisposable {
  /** None: Captum is not to be had here. */
  readonly reference: Reference | undefined;
  readonly versions: Readonly<Record<string, string>>;
  /** What the reader must know, filled as the runs agree or not. */
  note: string;
}

export async function openCaptum(directory: string, { log }: Context): Promise<CaptumPeer> {
  try {
    const reference = await openReference("captum_neurons.py", {
      interpreter: process.env["ATTRIBUTION_CAPTUM_PYTHON"] ?? python(),
    });
    await reference.ask("load", { directory });
    return {
      reference,
      versions: { captum: reference.versions["captum"] },
      note: "",
      [Symbol.asyncDispose]: () => reference[Symbol.asyncDispose](),
    };
  } catch (error) {
    const note = `captum is left out: ${(error as Error).message.split(". ")[0]}; name a Python that has it, ATTRIBUTION_CAPTUM_PYTHON=/path/to/python`;
    log(note);
    return { reference: undefined, versions: {}, note, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
}

interface Work {
  readonly tokens: readonly number[];
  readonly ours: NeuronAttribution;
  readonly nodes: number;
  readonly quick: boolean;
}

/** Once per length: they cost what (b) costs. */
export async function captumContenders(peer: CaptumPeer, { tokens, ours, nodes, quick }: Work): Promise<Contender[]> {
  const { reference } = peer;
  if (reference === undefined) return [];
  const layers = quick ? [2, 9] : Array.from({ length: ours.layers }, (_, layer) => layer);
  const own = Float32Array.from(
    layers.flatMap((layer) => Array.from(ours.scores.subarray(layer * ours.units, (layer + 1) * ours.units))),
  );
  const ask = (method: string, over = layers, steps = nodes): Promise<{ seconds: number; scores: string }> =>
    reference.ask("attribute", { tokens, layers: over, label: ours.targetLabels[0], nodes: steps, method });
  for (const method of ["neurons", "layer"]) await ask(method, [0], 2);
  const common = {
    repeats: 1,
    scale: ours.layers / layers.length,
    note: quick ? `extrapolated from layers ${layers.join(" and ")}` : "",
  };
  const neurons = async (): Promise<number> => {
    const answer = await ask("neurons");
    peer.note = `captum's IntegratedGradients over the readout's neurons gives our scores within ${relativeDifference(own, floats(answer.scores)).toExponential(1)} relative; its LayerIntegratedGradients moves all positions together, so only its time compares`;
    return answer.seconds;
  };
  return [
    { name: "captum IntegratedGradients over the readout's neurons", run: neurons, ...common },
    {
      name: "captum LayerIntegratedGradients, all positions",
      run: async () => (await ask("layer")).seconds,
      ...common,
    },
  ];
}
