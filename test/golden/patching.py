"""Writes patching/CASE.safetensors: attribution patching by RelP's and GIM's backward rules, in fp64, with each module's own forward
replaced by one whose autograd follows the rule.

    python test/golden/patching.py [CASE...]

F is the logit of the predicted next token. The baseline is zero, and for `against` the same model's values on another prompt.
"""

import os
import sys

import torch

from families import HERE, attention_output, blocks, down_projection, draw_rows, one, open_case, ragged, up_projection, write

CASES = ("gpt2", "opt", "llama", "qwen3", "llama-gqa", "bloom", "gpt-neox")
RULES = ("relp", "relpDetached", "gim")
SOFTMAX = torch.nn.functional.softmax


def share(x, part):
    return x * part + x.detach() * (1 - part)


class Warm(torch.autograd.Function):
    @staticmethod
    def forward(context, scores):
        context.save_for_backward(SOFTMAX(scores / 2, -1))
        return SOFTMAX(scores, -1)

    @staticmethod
    def backward(context, gradient):
        (s,) = context.saved_tensors
        return s * (gradient - (gradient * s).sum(-1, keepdim=True))


def softmax(rule):
    def patched(scores, dim=-1, **_):
        if rule == "gim":
            return Warm.apply(scores)
        found = SOFTMAX(scores, dim)
        return found.detach() if rule == "relpDetached" else found

    return patched


def norm(module, rule):
    bias = getattr(module, "bias", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))

    def forward(x):
        if bias is not None:
            mean = x.mean(-1, keepdim=True)
            x = x - (mean.detach() if rule == "gim" else mean)
        scale = (x.detach().square().mean(-1, keepdim=True) + epsilon).rsqrt()
        return x * scale * module.weight + (0 if bias is None else bias)

    return forward


def ratio(function):
    def forward(x):
        return x * (function(x) / x).detach()

    return forward


def functions(model, rule):
    """Every module with its forward under the rule."""
    for name, module in model.named_modules():
        kind = type(module).__name__
        if "Norm" in kind:
            module.forward = norm(module, rule)
        own = "activation" if "Activation" in kind or "GELU" in kind or "Gelu" in kind or kind in ("ReLU", "SiLU") else None
        if own and rule != "gim":
            module.forward = ratio(module.forward)
        if hasattr(module, "gate_proj"):
            def gated(x, m=module):
                return m.down_proj(share(m.act_fn(m.gate_proj(x)), 0.5) * share(m.up_proj(x), 0.5))
            module.forward = gated
    if rule == "gim":
        scale_queries(model)
    torch.nn.functional.softmax = softmax(rule)
    return model


def scale_queries(model):
    """¼ of the gradients of queries and keys, ½ of the values', where the projections are fused by their layout."""
    heads = model.config.num_attention_heads
    for name, module in model.named_modules():
        last = name.split(".")[-1]
        if last in ("q_proj", "k_proj", "v_proj"):
            part = 0.5 if last == "v_proj" else 0.25
            module.register_forward_hook(lambda _, __, out, part=part: share(out, part))
        if last == "c_attn":
            module.register_forward_hook(lambda _, __, out: torch.cat([share(x, part) for x, part in zip(out.chunk(3, -1), (0.25, 0.25, 0.5))], -1))
        if last == "query_key_value":  # [.., head, 3, feature]
            def split(_, __, out):
                parts = out.reshape(*out.shape[:-1], heads, 3, -1).unbind(-2)
                return torch.stack([share(x, part) for x, part in zip(parts, (0.25, 0.25, 0.5))], -2).reshape(out.shape)
            module.register_forward_hook(split)


def readouts(model, row):
    """Values of both sites at the last position, [site][layer], still in the graph, and the last logits."""
    values = {"neurons": [], "heads": []}
    handles = []
    for block in blocks(model):
        for site, module in (("neurons", down_projection(block)), ("heads", attention_output(block))):
            handles.append(module.register_forward_pre_hook(lambda _, inputs, site=site: values[site].append(inputs[0])))
    logits = model(one(row)).logits[0, -1]
    for handle in handles:
        handle.remove()
    return values, logits


def last(x, row):
    return x.detach().reshape(len(row), -1)[-1]


def make(case):
    rows = draw_rows("patching of " + case)[:3]
    others = draw_rows("patching against " + case)[:3]
    golden = {}
    for rule in RULES:
        for row, other in zip(rows, others):
            torch.nn.functional.softmax = SOFTMAX
            plain = open_case(case, torch.float64)
            plain.config._attn_implementation = "eager"
            with torch.no_grad():
                label = int(plain(one(row)).logits[0, -1].argmax())
                start, _ = readouts(plain, other)
                wanted = plain(one(row)).logits[0, -1, label]
            model = functions(plain, rule)
            values, logits = readouts(model, row)
            torch.testing.assert_close(logits[label], wanted, rtol=1e-6, atol=1e-6)
            flat = [(site, value) for site in values for value in values[site]]
            gradients = torch.autograd.grad(logits[label], [value for _, value in flat])
            for site in values:
                zero, against = [], []
                for layer, value in enumerate(values[site]):
                    slope = last(gradients[[id(v) for _, v in flat].index(id(value))], row)
                    zero.append(last(value, row) * slope)
                    against.append((last(value, row) - last(start[site][layer], other)) * slope)
                for name, found in (("zero", zero), ("against", against)):
                    scores = torch.stack(found)
                    if site == "heads":
                        scores = scores.reshape(len(found), model.config.num_attention_heads, -1).sum(-1)
                    golden.setdefault(f"{rule}.{site}.{name}", []).append(scores)
    torch.nn.functional.softmax = SOFTMAX
    tensors = {**ragged(rows), **{f"against.{name}": value for name, value in ragged(others).items()}}
    tensors.update({name: torch.stack(found).float() for name, found in golden.items()})
    os.makedirs(os.path.join(HERE, "patching"), exist_ok=True)
    write(os.path.join(HERE, "patching", case + ".safetensors"), tensors)


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
