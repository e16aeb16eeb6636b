"""The usual PyTorch procedures that the neuron benchmarks are compared with, on the weights that saveModel wrote."""
import sys

import torch
import transformers

from classifier import Classifier, Hooked
from protocol import base64_floats, clock, serve

state = {}


def load(directory):
    state["directory"], state["model"] = directory, Classifier(directory)
    return {}


def exact():
    """The same weights in float64, loaded when they are first asked for."""
    if "exact" not in state:
        state["exact"] = Classifier(state["directory"], torch.float64)
    return state["exact"]


def forward(tokens):
    """One plain forward."""
    ids = torch.tensor([tokens])
    with clock() as seconds, torch.inference_mode():
        probabilities = state["model"].probabilities(ids)
    return {"seconds": seconds[0], "probabilities": probabilities[0].tolist()}


def layer_stepwise(model, ids, layer, label, nodes, weights):
    """(a): each step one forward and one backward, batch one."""
    values = model.neurons(ids, layer)
    total = torch.zeros_like(values)
    for node, weight in zip(nodes, weights):
        leaf = (node * values).requires_grad_(True)
        total += weight * torch.autograd.grad(model.with_neurons(ids, layer, leaf, label).sum(), leaf)[0]
    return (values * total)[0]


def layer_batched(model, ids, layer, label, nodes, weights):
    """(b): all steps of a layer as the rows of one forward and one backward."""
    values = model.neurons(ids, layer)
    leaf = (torch.tensor(nodes, dtype=values.dtype).unsqueeze(1) * values).requires_grad_(True)
    slopes = torch.autograd.grad(model.with_neurons(ids.expand(len(nodes), -1), layer, leaf, label).sum(), leaf)[0]
    return (values * (torch.tensor(weights, dtype=values.dtype).unsqueeze(1) * slopes).sum(0))[0]


def integrated_gradients(tokens, layers, label, nodes, weights, batched, in_float64=False):
    """Scores [layer, unit] of the named layers."""
    model, ids = exact() if in_float64 else state["model"], torch.tensor([tokens])
    one_layer = layer_batched if batched else layer_stepwise
    with clock() as seconds:
        scores = torch.stack([one_layer(model, ids, layer, label, nodes, weights) for layer in layers])
    return {"seconds": seconds[0], "scores": base64_floats(scores)}


def mask_of(model, units, keep):
    """{layer: factor per unit} of a set of units, each layer * units + unit; layers that nothing changes are left out."""
    inside, outside = (1.0, 0.0) if keep else (0.0, 1.0)
    masks = {layer: torch.full((model.units,), outside) for layer in range(len(model.projections))} if keep else {}
    for place in units:
        masks.setdefault(place // model.units, torch.full((model.units,), outside))[place % model.units] = inside
    return masks


def change_units(tokens, label, sets, keep):
    """One full forward per set: the probability of the label with the set's units suppressed (or kept alone) at the readout position."""
    model, ids = state["model"], torch.tensor([tokens])
    values = []
    with clock() as seconds, torch.inference_mode():
        for units in sets:
            changes = {layer: masked(mask) for layer, mask in mask_of(model, units, keep).items()}
            with Hooked(model, changes, ids):
                values.append(model.probabilities(ids)[0, label].item())
    return {"seconds": seconds[0], "values": values}


def masked(mask):
    def change(x):
        x = x.clone()
        x[:, -1] *= mask
        return x

    return change


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve(
        {"torch": torch.__version__, "transformers": transformers.__version__},
        {"load": load, "forward": forward, "integrated_gradients": integrated_gradients, "change_units": change_units},
    )
