"""Writes influence/: a very small classifier and, in fp64, its per-instance gradients, their products and tokens' factors, explicit Hessians and influence.

    python test/golden/influence.py

The loss of an instance is its cross-entropy. A module's gradient is its weight's, row-major, then its bias's. H is the Hessian of the
MEAN training loss. λ is 0.5 plus what lifts the smallest eigenvalue of H to 0, so that H + λI is positive definite.
"""

import os

import numpy
import torch
import torch.nn.attention

from families import HERE, LABELS, build, draw_rows, fresh, lm_loss, one, open_case, ragged, seed_of, write

NAME = "influence"
TRAIN, QUERIES, LAYERS, VOCABULARY = 6, 3, 2, 24
SETTINGS = dict(
    vocab_size=VOCABULARY, hidden_size=8, num_hidden_layers=LAYERS, ffn_dim=8, num_attention_heads=2, max_position_embeddings=16,
    pad_token_id=1, bos_token_id=2, eos_token_id=2,
)
ATTENTION = tuple(f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj"))
MLP = ("fc1", "fc2")
SPACING = 0.5


def modules_of(layers, names):
    return [f"model.decoder.layers.{layer}.{name}" for layer in layers for name in names]


SELECTIONS = {
    "head": ["score"],
    "mlp": modules_of(range(LAYERS), MLP),
    "mlpLast": modules_of([LAYERS - 1], MLP),
    "attention": modules_of(range(LAYERS), ATTENTION),
    "linear": modules_of(range(LAYERS), ATTENTION + MLP),
}
STORED_HESSIANS = ("head", "mlpLast")


def parameters(model, module):
    found = model.get_submodule(module)
    return [found.weight] + ([found.bias] if found.bias is not None else [])


def selected(model, modules):
    return [parameter for module in modules for parameter in parameters(model, module)]


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def loss_of(model, row, label):
    return torch.nn.functional.cross_entropy(model(one(row)).logits, torch.tensor([label]))


def gradient(loss, chosen):
    return flat(torch.autograd.grad(loss, chosen))


def hessian(model, rows, labels, chosen):
    loss = torch.stack([loss_of(model, row, label) for row, label in zip(rows, labels)]).mean()
    first = torch.autograd.grad(loss, chosen, create_graph=True)
    lines = []
    for entry in flat(first):
        line = torch.autograd.grad(entry, chosen, retain_graph=True, allow_unused=True)
        lines.append(flat([torch.zeros_like(parameter) if part is None else part for part, parameter in zip(line, chosen)]))
    found = torch.stack(lines)
    assert torch.allclose(found, found.T, atol=1e-8)
    return (found + found.T) / 2


def influence_sets():
    """Rows and labels by role."""
    generator = numpy.random.default_rng(seed_of("lengths of " + NAME))
    sets = {}
    for role, count in (("train", TRAIN), ("queries", QUERIES)):
        rows = draw_rows(NAME + role, generator.integers(4, 11, size=count).tolist(), VOCABULARY)
        sets[role] = (rows, [(index * 2 + len(role)) % LABELS for index in range(count)])
    return sets


def influence_case():
    path = fresh(NAME)
    build("OPT", SETTINGS, seed_of(NAME), LABELS).save_pretrained(path)
    model, sets = open_case(NAME, torch.float64), influence_sets()
    golden = {}
    for role, (rows, labels) in sets.items():
        golden.update({f"{role}.{name}": value for name, value in ragged(rows).items()})
        golden[f"{role}.labels"] = torch.tensor(labels, dtype=torch.int32)
        golden[f"{role}.losses"] = torch.stack([loss_of(model, row, label).detach() for row, label in zip(rows, labels)])
        for module in SELECTIONS["linear"] + SELECTIONS["head"]:
            chosen = parameters(model, module)
            golden[f"{role}.gradient.{module}"] = torch.stack([gradient(loss_of(model, row, label), chosen) for row, label in zip(rows, labels)])
    for selection, modules in SELECTIONS.items():
        queries, train = (torch.cat([golden[f"{role}.gradient.{module}"] for module in modules], 1) for role in ("queries", "train"))
        golden[f"dot.{selection}"] = queries @ train.T
        golden[f"cosine.{selection}"] = (queries / queries.norm(dim=1, keepdim=True)) @ (train / train.norm(dim=1, keepdim=True)).T
        golden[f"self.{selection}"] = train.square().sum(1)
        curvature = hessian(model, *sets["train"], selected(model, modules))
        eigenvalues = torch.linalg.eigvalsh(curvature)
        damping = SPACING + max(0.0, -eigenvalues[0].item())
        inverse = torch.linalg.inv(curvature + damping * torch.eye(len(curvature), dtype=torch.float64))
        golden[f"influence.{selection}"] = queries @ inverse @ train.T
        golden[f"lambda.{selection}"] = torch.tensor([damping], dtype=torch.float64)
        golden[f"eigenvalues.{selection}"] = eigenvalues[[0, -1]]
        if selection in STORED_HESSIANS:
            golden[f"hessian.{selection}"] = curvature
        print(f"{selection}: {len(curvature)} parameters, H from {eigenvalues[0]:.3f} to {eigenvalues[-1]:.3f}, λ {damping:.3f}, influence up to {golden[f'influence.{selection}'].abs().max():.3f}")
    extra = os.path.join(path, "generation_config.json")
    if os.path.exists(extra):
        os.remove(extra)
    write(os.path.join(path, "expected.safetensors"), golden)  # not a model case: no logits


def factors_of(model, modules, row, label):
    """Inputs [token, input] and output gradients [token, output] of each module; rows of zeros where it passes no gradient."""
    seen = {}
    hooks = [model.get_submodule(module).register_forward_hook(lambda _, inputs, output, module=module: seen.update({module: (inputs[0], output)})) for module in modules]
    loss = loss_of(model, row, label)
    gradients = torch.autograd.grad(loss, [seen[module][1] for module in modules])
    for hook in hooks:
        hook.remove()
    flat_rows = lambda x: x.detach().reshape(-1, x.shape[-1])
    return {module: (flat_rows(seen[module][0]), flat_rows(given)) for module, given in zip(modules, gradients)}


def token_case():
    """tokens.safetensors: what each token of the small classifier's instances adds to each module's gradient, as its two factors."""
    model, sets = open_case(NAME, torch.float64), influence_sets()
    golden = {}
    modules = SELECTIONS["linear"] + SELECTIONS["head"]
    for role, (rows, labels) in sets.items():
        found = [factors_of(model, modules, row, label) for row, label in zip(rows, labels)]
        for module in modules:
            golden[f"{role}.inputs.{module}"], golden[f"{role}.gradients.{module}"] = (torch.cat([each[module][side] for each in found]) for side in (0, 1))
    write(os.path.join(HERE, NAME, "tokens.safetensors"), golden)


# Families whose linear layers are fused, transposed or gated: inner products of LM gradients are the same however they are cut.
LM_CASES = {
    "gpt-neox": (("attention.query_key_value", "attention.dense"), ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), "gpt_neox.layers", "lm_head"),
    "gpt2": (("attn.c_attn", "attn.c_proj"), ("mlp.c_fc", "mlp.c_proj"), "transformer.h", None),
    "llama": (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"), ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"), "model.layers", "lm_head"),
}


def lm_case(name):
    attention, mlp, prefix, head = LM_CASES[name]
    model = open_case(name, torch.float64)
    rows = draw_rows("influence of " + name, (7, 4, 10, 6, 8))
    chosen = {kind: [f"{prefix}.{layer}.{part}" for layer in range(2) for part in parts] for kind, parts in (("attention", attention), ("mlp", mlp))}
    chosen["linear"] = chosen["attention"] + chosen["mlp"]
    if head:
        chosen["head"] = [head]
    golden = ragged(rows)
    golden["losses"] = torch.stack([lm_loss(model(one(row)).logits[0], row).detach() for row in rows])
    for selection, modules in chosen.items():
        kept = [parameter for module in modules for parameter in model.get_submodule(module).parameters()]
        gradients = torch.stack([gradient(lm_loss(model(one(row)).logits[0], row), kept) for row in rows])
        golden[f"dot.{selection}"] = gradients @ gradients.T
    write(os.path.join(HERE, NAME, f"dot.{name}.safetensors"), golden)
    print(name, {selection: f"{golden['dot.' + selection].abs().max():.1f}" for selection in chosen})


if __name__ == "__main__":
    # Its plain form can be differentiated twice, and stays in fp64 throughout.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        influence_case()
        token_case()
    for name in LM_CASES:
        lm_case(name)
