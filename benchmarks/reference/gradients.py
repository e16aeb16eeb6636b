"""One autograd call per instance and a dot product per pair: the usual exact gradient similarity, on the weights that saveModel wrote."""
import sys

import torch
import transformers
from transformers import AutoModelForSequenceClassification

from protocol import base64_doubles, clock, serve

state = {}


def load(directory, dtype="float32"):
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
    state["parameters"] = [p for name, p in model.named_parameters() if ".fc1." in name or ".fc2." in name]
    for parameter in state["parameters"]:
        parameter.requires_grad_(True)
    state["model"] = model
    return {"parameters": sum(p.numel() for p in state["parameters"])}


def gradient(row, label):
    """All MLP weights and biases as one vector."""
    loss = torch.nn.functional.cross_entropy(state["model"](input_ids=torch.tensor([row]), use_cache=False).logits, torch.tensor([label]))
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, state["parameters"])])


def similarity(train, train_labels, queries, query_labels):
    """Scores [query, train] of a sample; seconds of a gradient and of a dot product."""
    with clock() as gradients:
        kept = [gradient(row, label) for row, label in zip(queries, query_labels)]
        others = [gradient(row, label) for row, label in zip(train, train_labels)]
    with clock() as products:
        scores = torch.stack([torch.stack([torch.dot(query, other) for other in others]) for query in kept])
    return {"gradient": gradients[0] / (len(kept) + len(others)), "product": products[0] / scores.numel(), "scores": base64_doubles(scores)}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve({"torch": torch.__version__, "transformers": transformers.__version__}, {"load": load, "similarity": similarity})
