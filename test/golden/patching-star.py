"""Writes patching-star/CASE.safetensors: AtP*'s corrected scores of queries, keys and values, and its scores with dropped layers, in fp64.

    python test/golden/patching-star.py [CASE...]

F is the logit of the predicted next token. Queries, keys and values are those of another prompt of the same length, at the last position:
Σ_j (A_j − A⁰_j) ∂F/∂A_j with the attention weights A of PyTorch's own softmax; of a value A_last ⟨v − v⁰, ∂F/∂z⟩.
"""

import os
import sys

import torch

from families import HERE, attention_output, blocks, down_projection, draw_rows, one, open_case, ragged, write

CASES = ("gpt2", "llama", "qwen3")
SOFTMAX = torch.nn.functional.softmax


class Attention:
    """Every layer's attention weights and values, through PyTorch's own softmax and matmul."""

    def __enter__(self):
        self.patterns, self.start = [], torch.nn.functional.softmax

        def kept(scores, dim=-1, **options):
            found = SOFTMAX(scores, dim, **options)
            if found.dim() == 4:
                self.patterns.append(found)
            return found

        torch.nn.functional.softmax = kept
        return self

    def __exit__(self, *_):
        torch.nn.functional.softmax = self.start


def parts_of(block):
    """The modules of query, key and value, or the fused one."""
    attention = getattr(block, "self_attn", None) or block.attn
    if hasattr(attention, "c_attn"):
        return [attention.c_attn], True
    return [attention.q_proj, attention.k_proj, attention.v_proj], False


def projections(model, row):
    """[layer] query, key and value [token, width]."""
    found, handles = [], []
    for block in blocks(model):
        modules, fused = parts_of(block)
        own = []
        found.append((own, fused))
        for module in modules:
            handles.append(module.register_forward_hook(lambda _, __, out, own=own: own.append(out.detach()[0])))
    model(one(row))
    for handle in handles:
        handle.remove()
    return [list(own[0].chunk(3, -1)) if fused else own for own, fused in found]


def with_part(model, row, layer, part, value):
    """The layer's attention weights where the part at the last position is `value` [width]."""
    modules, fused = parts_of(blocks(model)[layer])
    width = value.numel()

    def patch(_, __, out):
        out = out.clone()
        if fused:
            out[0, -1, part * width : (part + 1) * width] = value
        else:
            out[0, -1] = value
        return out

    handle = modules[0 if fused else part].register_forward_hook(patch)
    with Attention() as attention, torch.no_grad():
        model(one(row))
    handle.remove()
    return attention.patterns[layer][0, :, -1]  # [head, token]


def readouts(model, row, dropped=None):
    """The sites' values, in the graph, and the last logits; what layer `dropped` writes has no gradient."""
    values, handles = {"neurons": [], "heads": []}, []
    for at, block in enumerate(blocks(model)):
        for site, module in (("neurons", down_projection(block)), ("heads", attention_output(block))):
            handles.append(module.register_forward_pre_hook(lambda _, inputs, site=site: values[site].append(inputs[0])))
            if at == dropped:
                handles.append(module.register_forward_hook(lambda _, __, out: out.detach()))
    logits = model(one(row)).logits[0, -1]
    for handle in handles:
        handle.remove()
    return values, logits


def grads(value, inputs):
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, torch.autograd.grad(value, inputs, allow_unused=True, retain_graph=True))]


def corrected(model, row, other, label):
    heads = model.config.num_attention_heads
    with Attention() as attention:
        logits = model(one(row)).logits[0, -1]
    slopes = grads(logits[label], attention.patterns)
    values, logits = readouts(model, row)
    outputs = grads(logits[label], values["heads"])
    own, others = projections(model, row), projections(model, other)
    scores = {"query": [], "key": [], "value": []}
    for layer, (pattern, slope) in enumerate(zip(attention.patterns, slopes)):
        for part, name in ((0, "query"), (1, "key")):
            patched = with_part(model, row, layer, part, others[layer][part][-1])
            scores[name].append(((pattern[0, :, -1] - patched) * slope[0, :, -1]).sum(-1).detach())
        change = (own[layer][2][-1] - others[layer][2][-1]).reshape(-1, outputs[layer].shape[-1] // heads)
        change = change.repeat_interleave(heads // change.shape[0], 0)
        out = outputs[layer].reshape(len(row), heads, -1)[-1]
        scores["value"].append((pattern[0, :, -1, -1] * (change * out).sum(-1)).detach())
    return {name: torch.stack(found) for name, found in scores.items()}


def dropped_layers(model, row, label):
    heads, layers = model.config.num_attention_heads, len(blocks(model))
    sums = {}
    for dropped in range(layers):
        values, logits = readouts(model, row, dropped)
        for site, own in values.items():
            found = torch.stack([(x * g).detach().reshape(len(row), -1)[-1] for x, g in zip(own, grads(logits[label], own))])
            if site == "heads":
                found = found.reshape(layers, heads, -1).sum(-1)
            sums[site] = sums.get(site, 0) + found.abs()
    return {f"dropped.{site}": found / (layers - 1) for site, found in sums.items()}


def make(case):
    rows = draw_rows("patching star of " + case)[:3]
    others = draw_rows("patching star against " + case)[:3]
    golden = {}
    model = open_case(case, torch.float64)
    model.config._attn_implementation = "eager"
    for row, other in zip(rows, others):
        with torch.no_grad():
            label = int(model(one(row)).logits[0, -1].argmax())
        for name, found in {**corrected(model, row, other, label), **dropped_layers(model, row, label)}.items():
            golden.setdefault(name, []).append(found)
    tensors = {**ragged(rows), **{f"against.{name}": value for name, value in ragged(others).items()}}
    tensors.update({name: torch.stack(found).float() for name, found in golden.items()})
    os.makedirs(os.path.join(HERE, "patching-star"), exist_ok=True)
    write(os.path.join(HERE, "patching-star", case + ".safetensors"), tensors)


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
