"""LiSSA as its formula says, one query after the other: each recursion a forward of a padded batch, its gradient with a graph, and the
gradient of that gradient's product with h. Below the selected parameters nothing has a graph.
"""
import functools
import sys

import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification

from protocol import clock, serve

state = {}
PAD = 1


def load(directory):
    state["directory"] = directory
    model_of.cache_clear()
    return {}


@functools.cache
def model_of(attention):
    return AutoModelForSequenceClassification.from_pretrained(state["directory"], dtype=torch.float32, attn_implementation=attention).eval().requires_grad_(False)


def selected(selection):
    """The model with those parameters alone free, and them. Only the attention's plain formula can be differentiated twice."""
    model = model_of("eager" if selection == "mlp" else "sdpa").requires_grad_(False)
    layers = model.model.decoder.layers
    chosen = {"head": [], "lastMlp": layers[-1:], "mlp": layers}[selection]
    modules = [module for layer in chosen for module in (layer.fc1, layer.fc2)] + ([] if selection == "mlp" else [model.score])
    return model, [parameter.requires_grad_(True) for module in modules for parameter in module.parameters()]


def loss_of(model, rows, labels):
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return cross_entropy(model(input_ids=ids, attention_mask=mask, use_cache=False).logits, torch.tensor(labels))


def lissa(selection, query, batches, damping, scale, train=()):
    """One query's recursions over the batches, each {rows, labels}: seconds of the recursions, and the scores of the instances in `train`."""
    model, parameters = selected(selection)
    v = torch.autograd.grad(loss_of(model, query["rows"], query["labels"]), parameters)
    with clock() as seconds:
        h = [part.clone() for part in v]
        for batch in batches:
            first = torch.autograd.grad(loss_of(model, batch["rows"], batch["labels"]), parameters, create_graph=True)
            products = torch.autograd.grad(first, parameters, grad_outputs=h)
            h = [a + (1 - damping) * b - c / scale for a, b, c in zip(v, h, products)]
    scores = []
    for instance in train:
        gradient = torch.autograd.grad(loss_of(model, instance["rows"], instance["labels"]), parameters)
        scores.append(sum((a * b).sum() for a, b in zip(h, gradient)).item() / scale)
    return {"seconds": seconds[0], "scores": scores}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve({"torch": torch.__version__, "transformers": transformers.__version__}, {"load": load, "lissa": lissa})
