"""Writes gradients/CASE.safetensors: of every model case with its rows, one autograd call per instance over all parameters, in fp64.

    python test/golden/gradients.py [CASE...]

A parameter's gradient is kept as its inner products with four vectors, cos((k + 1)(i + 1)) over its entries i as stored: any other
gradient has others.
"""

import os
import sys

import torch

from families import CAUSAL_LM, CLASSIFICATION, HERE, draw_rows, lm_loss, one, open_case, stored_parts, write

VECTORS = 4


def losses(model, name, rows):
    if name in CAUSAL_LM:
        return [lm_loss(model(one(row)).logits[0], row) for row in rows]
    if name in CLASSIFICATION:
        return [torch.nn.functional.cross_entropy(model(one(row)).logits, torch.tensor([index % model.config.num_labels])) for index, row in enumerate(rows)]
    return [-torch.log_softmax(torch.cat([model(one(row)).logits[0] for row in rows]), 0)[1]]


def sketch(gradient):
    flat = gradient.reshape(-1).double()
    places = torch.arange(1, len(flat) + 1, dtype=torch.float64)
    return torch.stack([torch.cos((k + 1) * places) @ flat for k in range(VECTORS)])


def case(name):
    model = open_case(name, torch.float64)
    named = dict(model.named_parameters())  # a tied weight once
    found = [torch.autograd.grad(loss, list(named.values())) for loss in losses(model, name, draw_rows(name))]
    parts = [stored_parts(model, key, each[place]) for each in found for place, key in enumerate(named)]
    golden = {f"sketch.{name}": torch.stack([sketch(own[name]) for own in parts if name in own]) for name in dict.fromkeys(name for own in parts for name in own)}
    flat = torch.stack([torch.cat([part.reshape(-1) for part in each]) for each in found])
    golden["dot"] = flat @ flat.T
    write(os.path.join(HERE, "gradients", f"{name}.safetensors"), golden)
    print(f"{name}: {len(named)} parameters, dot up to {golden['dot'].abs().max():.1f}")


if __name__ == "__main__":
    for name in sys.argv[1:] or [*CAUSAL_LM, *CLASSIFICATION, "gpt-neox-choice"]:
        case(name)
