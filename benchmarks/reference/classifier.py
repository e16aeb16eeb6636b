"""The model that saveModel wrote, as transformers loads it, and how its MLP neurons are read and replaced at the readout position.

A neuron is an input feature of the MLP's output projection. The weights are frozen, so no contender pays for their gradients.
"""
import torch
from transformers import AutoModelForSequenceClassification


class Classifier:
    def __init__(self, directory, dtype=torch.float32):
        self.model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=dtype).eval().requires_grad_(False)
        base = self.model.base_model
        self.layers = (base.decoder if hasattr(base, "decoder") else base).layers
        self.projections = [layer.fc2 for layer in self.layers]
        self.units = self.projections[0].in_features

    def probabilities(self, ids):
        """[row, class]"""
        return torch.softmax(self.model(input_ids=ids, use_cache=False).logits, -1)

    def neurons(self, ids, layer):
        """One forward; [row, unit] at the readout position."""
        taken = []
        with torch.no_grad(), Hooked(self, {layer: lambda x: taken.append(x[:, -1].clone())}, ids):
            self.probabilities(ids)
        return taken[0]

    def with_neurons(self, ids, layer, values, label):
        """Probability of the label [row] with the layer's neurons at the readout position replaced."""

        def replaced(x):
            x = x.clone()
            x[:, -1] = values
            return x

        with Hooked(self, {layer: replaced}, ids):
            return self.probabilities(ids)[:, label]


class Hooked:
    """Changes inputs of output projections, given as [row, position, unit], for the length of a `with` block."""

    def __init__(self, classifier, changes, ids):
        self.classifier, self.changes, self.rows = classifier, changes, ids.shape[0]

    def __enter__(self):
        self.handles = [self.classifier.projections[layer].register_forward_pre_hook(self.hook(change)) for layer, change in self.changes.items()]

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()

    def hook(self, change):
        def changed(_, inputs):
            x = inputs[0]
            new = change(x.view(self.rows, -1, x.shape[-1]))
            return None if new is None else (new.view(x.shape),)

        return changed
