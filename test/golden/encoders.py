"""Writes encoders/CASE: tiny encoders with masked-LM and classification heads, and what transformers computes on them in fp64.

    python test/golden/encoders.py [CASE...]

Scores are computed the slow and obvious way: one full forward and backward per layer and node, of one row at a time, with only the readout
position (the mask, or the first token) replaced.
"""

import os
import sys

import numpy
import torch
import transformers

from families import HERE, LABELS, padded, randomise, seed_of, write
from gradients import sketch
from neuron import gauss_legendre

VOCABULARY, POSITIONS, MASK = 48, 24, 4
LENGTHS = (9, 5, 13)
NODES = 20
RIEMANN = 400  # steps of the knowledge neurons' sum, at their middles: its error is far below the tolerance of the test

BERT = dict(
    vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
    max_position_embeddings=POSITIONS, type_vocab_size=2, pad_token_id=0,
)
ROBERTA = dict(BERT, max_position_embeddings=POSITIONS + 2, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
DISTIL = dict(
    vocab_size=VOCABULARY, dim=16, n_layers=2, n_heads=2, hidden_dim=20, max_position_embeddings=POSITIONS, pad_token_id=0,
)
MODERN = dict(
    vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=20,
    max_position_embeddings=POSITIONS, local_attention=4, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    layer_types=["full_attention", "sliding_attention", "sliding_attention"],
)

CASES = {
    "bert-masked": ("Bert", BERT, 0),
    "bert-classification": ("Bert", BERT, LABELS),
    "roberta-masked": ("Roberta", ROBERTA, 0),
    "roberta-classification": ("Roberta", ROBERTA, LABELS),
    "distilbert-masked": ("DistilBert", DISTIL, 0),
    "distilbert-classification": ("DistilBert", DISTIL, LABELS),
    "modernbert-masked": ("ModernBert", MODERN, 0),
    "modernbert-classification": ("ModernBert", MODERN, LABELS),
    "modernbert-mean": ("ModernBert", dict(MODERN, classifier_pooling="mean", classifier_bias=True, norm_bias=True, attention_bias=True), LABELS),
}


def directory(name):
    return os.path.join(HERE, "encoders", name)


def build(name):
    family, settings, labels = CASES[name]
    configuration = getattr(transformers, family + "Config")(**settings, **({"num_labels": labels} if labels else {}))
    kind = "ForSequenceClassification" if labels else "ForMaskedLM"
    model = randomise(getattr(transformers, family + kind)(configuration), seed_of(name), 0.3)
    os.makedirs(directory(name), exist_ok=True)
    model.save_pretrained(directory(name))
    return type(model)


class Row:
    """A row of tokens with its types, and the position that is read."""

    def __init__(self, name, index, length, types):
        generator = numpy.random.default_rng(seed_of(f"{name} {index}"))
        self.tokens = torch.from_numpy(generator.integers(5, VOCABULARY, size=length))
        self.types = torch.from_numpy((numpy.arange(length) > length // 2).astype(numpy.int64)) if types else None
        self.is_masked = CASES[name][2] == 0
        self.place = int(generator.integers(1, length - 1)) if self.is_masked else 0
        self.label = int(generator.integers(5, VOCABULARY)) if self.is_masked else index % LABELS
        if self.is_masked:
            self.tokens[self.place] = MASK

    def logits(self, model, copies=1):
        types = {} if self.types is None else {"token_type_ids": self.types[None].repeat(copies, 1)}
        found = model(self.tokens[None].repeat(copies, 1), **types).logits
        return found[:, self.place] if self.is_masked else found

    def loss(self, model):
        return torch.nn.functional.cross_entropy(self.logits(model), torch.tensor([self.label]))


def check_padding(model, rows, alone):
    ids, mask = padded([row.tokens.numpy() for row in rows], model.config.pad_token_id)
    types = {} if rows[0].types is None else {"token_type_ids": padded([row.types.numpy() for row in rows], 0)[0]}
    with torch.no_grad():
        logits = model(ids, attention_mask=mask, **types).logits
    for index, row in enumerate(rows):
        found = logits[index, row.place] if row.is_masked else logits[index]
        assert (found - alone[index]).abs().max() < 1e-6, "padding changes a row"


def projections(model, site):
    base = model.base_model
    blocks = base.encoder.layer if hasattr(base, "encoder") else base.transformer.layer if hasattr(base, "transformer") else base.layers
    def of(block):
        if hasattr(block, "mlp"):
            return block.mlp.Wo if site == "neurons" else block.attn.Wo
        if hasattr(block, "ffn"):
            return block.ffn.lin2 if site == "neurons" else block.attention.out_lin
        return block.output.dense if site == "neurons" else block.attention.output.dense
    return [of(block) for block in blocks]


def hooked(model, row, module, change, copies):
    """F, the probability of the row's label, with the readout position's values [copy, feature] changed."""
    def edit(_, inputs):
        shaped = inputs[0].reshape(copies, len(row.tokens), -1)
        parts = [shaped[:, : row.place], change(shaped[:, row.place])[:, None], shaped[:, row.place + 1 :]]
        return (torch.cat(parts, 1).reshape(inputs[0].shape),)
    handle = module.register_forward_pre_hook(edit)
    try:
        return row.logits(model, copies).softmax(-1)[:, row.label]
    finally:
        handle.remove()


def gradients_at(model, row, module, points):
    points = points.clone().requires_grad_()
    return torch.autograd.grad(hooked(model, row, module, lambda _: points, len(points)).sum(), points)[0]


def scores(model, row, site):
    heads = model.config.num_attention_heads
    units = (lambda x: x.reshape(*x.shape[:-1], heads, -1).sum(-1)) if site == "heads" else (lambda x: x)
    nodes, weights = gauss_legendre(NODES)
    middles = (torch.arange(RIEMANN, dtype=torch.float64) + 0.5) / RIEMANN
    rows = {name: [] for name in ("values", "gradientTimesActivation", "integratedGradients", "knowledgeNeurons", "ablation")}
    for module in projections(model, site):
        seen = []
        with torch.no_grad():
            hooked(model, row, module, lambda value: seen.append(value[0].clone()) or value, 1)
        value = seen[0]
        count = heads if site == "heads" else len(value)
        keep = (1 - torch.eye(count, dtype=torch.float64)).repeat_interleave(len(value) // count, 1)
        rows["values"].append(value)
        rows["gradientTimesActivation"].append(units(value * gradients_at(model, row, module, value[None])[0]))
        rows["integratedGradients"].append(units(value * (weights[:, None] * gradients_at(model, row, module, nodes[:, None] * value)).sum(0)))
        rows["knowledgeNeurons"].append(units(value * gradients_at(model, row, module, middles[:, None] * value).mean(0)))
        with torch.no_grad():
            rows["ablation"].append(hooked(model, row, module, lambda _: keep * value, count))
    return {f"{site}.{name}": torch.stack(found) for name, found in rows.items()}


def case(name):
    kind = build(name)
    model = kind.from_pretrained(directory(name), dtype=torch.float64).eval()
    rows = [Row(name, index, length, name.startswith("bert")) for index, length in enumerate(LENGTHS)]
    with torch.no_grad():
        logits = torch.cat([row.logits(model) for row in rows])
    check_padding(model, rows, logits)
    golden = {
        "tokens": torch.cat([row.tokens for row in rows]).int(),
        "rowOffsets": torch.tensor(numpy.cumsum([0, *LENGTHS]), dtype=torch.int32),
        "places": torch.tensor([row.place for row in rows], dtype=torch.int32),
        "labels": torch.tensor([row.label for row in rows], dtype=torch.int32),
        "logits": logits,
        "losses": torch.stack([row.loss(model).detach() for row in rows]),
        "targetValues": torch.stack([logits[i].softmax(-1)[row.label] for i, row in enumerate(rows)]),
    }
    if rows[0].types is not None:
        golden["tokenTypes"] = torch.cat([row.types for row in rows]).int()
    named = dict(model.named_parameters())
    # A part that the head does not use (RoBERTa's pooler) has no gradient.
    found = [torch.autograd.grad(row.loss(model), list(named.values()), allow_unused=True) for row in rows]
    used = [place for place, key in enumerate(named) if found[0][place] is not None]
    for place, key in enumerate(named):
        if place in used:
            golden[f"sketch.{key}"] = torch.stack([sketch(each[place]) for each in found])
    flat = torch.stack([torch.cat([each[place].reshape(-1) for place in used]) for each in found])
    golden["dot"] = flat @ flat.T
    for site in ("neurons", "heads") if name != "modernbert-mean" else ():
        each = [scores(model, row, site) for row in rows]
        golden.update({key: torch.stack([one[key] for one in each]) for key in each[0]})
    write(os.path.join(directory(name), "golden.safetensors"), golden)
    total = sum(os.path.getsize(os.path.join(directory(name), file)) for file in os.listdir(directory(name)))
    print(f"{name}: {total / 1000:.0f} kB, logits up to {logits.abs().max():.2f}, {len(used)} of {len(named)} parameters")


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        case(name)
