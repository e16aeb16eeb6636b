"""Captum on the same model: integrated gradients of MLP neurons, per layer, Gauss-Legendre as ours.

neurons  IntegratedGradients of the probability as a function of one layer's neurons at the readout position; baseline zero.
layer    LayerIntegratedGradients of the output projection's input; it moves all positions together, from their values at a
         baseline prompt, so its scores are not ours: only its time compares.
"""
import sys

import captum
import torch
from captum.attr import IntegratedGradients, LayerIntegratedGradients

from classifier import Classifier
from protocol import base64_floats, clock, serve

state = {}


def load(directory):
    state["model"] = Classifier(directory)
    return {}


def over_neurons(model, ids, layer, label, nodes):
    values = model.neurons(ids, layer)
    probability = lambda neurons: model.with_neurons(ids.expand(len(neurons), -1), layer, neurons, label)
    return IntegratedGradients(probability).attribute(values, n_steps=nodes, method="gausslegendre")[0]


def over_layer(model, ids, layer, label, nodes):
    method = LayerIntegratedGradients(lambda tokens: model.probabilities(tokens)[:, label], model.projections[layer])
    scores = method.attribute(ids, baselines=torch.ones_like(ids), n_steps=nodes, method="gausslegendre", attribute_to_layer_input=True)
    return scores.reshape(ids.shape[1], -1)[-1]


def attribute(tokens, layers, label, nodes, method):
    model, ids = state["model"], torch.tensor([tokens])
    one_layer = {"neurons": over_neurons, "layer": over_layer}[method]
    with clock() as seconds:
        scores = torch.stack([one_layer(model, ids, layer, label, nodes) for layer in layers])
    return {"seconds": seconds[0], "scores": base64_floats(scores)}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve({"torch": torch.__version__, "captum": captum.__version__}, {"load": load, "attribute": attribute})
