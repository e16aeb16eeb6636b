"""Writes adapters/: LoRA adapters made by PEFT over the model cases llama, gpt2 and gpt2-classification, and what PEFT computes with them in fp64.

    python test/golden/adapters.py

A and B are drawn, so that each one matters. A gradient is that of an instance's loss (a sum over its target tokens, or a cross-entropy).
The influence is query · (H + λI)⁻¹ · train over all weights of the adapter, with H the Hessian of the MEAN training loss.
"""

import json
import os
import shutil

import torch
import torch.nn.attention
from peft import LoraConfig, get_peft_model

from families import HERE, LABELS, draw_rows, one, open_case, ragged, seed_of, write

FOLDER = os.path.join(HERE, "adapters")
SPACING = 0.5
CASES = {
    "llama": dict(r=2, lora_alpha=6, lora_dropout=0.1, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"),
    "gpt2": dict(
        r=3, lora_alpha=5, use_rslora=True, target_modules=r".*\.(c_attn|c_fc|attn\.c_proj)", fan_in_fan_out=True,
        rank_pattern={r"h\.1\.attn\.c_attn": 2}, alpha_pattern={"mlp.c_fc": 4, r"transformer\.h\.0\.attn\.c_proj": 1}, task_type="CAUSAL_LM",
    ),
    "gpt2-classification": dict(r=2, lora_alpha=2, target_modules="all-linear", modules_to_save=["score"], task_type="SEQ_CLS"),
}
WITH_INFLUENCE = ("llama",)


def draw(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(torch.float32).double() * 0.2


def losses_of(model, name, rows):
    for index, row in enumerate(rows):
        logits = model(one(row)).logits
        if name.endswith("classification"):
            yield torch.nn.functional.cross_entropy(logits, torch.tensor([index % LABELS]))
        else:
            yield torch.nn.functional.cross_entropy(logits[0, :-1], one(row)[0, 1:], reduction="sum")


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def influence(model, name, chosen, golden):
    """Of the last row on the others."""
    losses = list(losses_of(model, name, draw_rows(name)))
    first = flat(torch.autograd.grad(torch.stack(losses[:-1]).mean(), chosen, create_graph=True))
    parts = [
        torch.autograd.grad(first, chosen, rows, retain_graph=True, is_grads_batched=True)
        for rows in torch.eye(len(first), dtype=torch.float64).split(128)
    ]
    hessian = torch.cat([torch.cat([part.flatten(1) for part in block], 1) for block in parts])
    assert torch.allclose(hessian, hessian.T, atol=1e-4)  # transformers norms in float32
    hessian = (hessian + hessian.T) / 2
    damping = SPACING + max(0.0, -torch.linalg.eigvalsh(hessian)[0].item())
    gradients = [flat(torch.autograd.grad(loss, chosen, retain_graph=True)) for loss in losses]
    inverse = torch.linalg.inv(hessian + damping * torch.eye(len(hessian), dtype=torch.float64))
    golden["influence"] = gradients[-1][None] @ inverse @ torch.stack(gradients[:-1]).T
    golden["lambda"] = torch.tensor([damping], dtype=torch.float64)
    print(f"{name}: {len(hessian)} weights, λ {damping:.3f}, influence up to {golden['influence'].abs().max():.3f}")


def case(name):
    path = os.path.join(FOLDER, name)
    shutil.rmtree(path, ignore_errors=True)
    model = get_peft_model(open_case(name, torch.float64), LoraConfig(**CASES[name])).double().eval()
    draw(model, seed_of("adapter of " + name))
    model.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    settings = os.path.join(path, "adapter_config.json")
    with open(settings) as file:
        config = json.load(file)
    with open(settings, "w") as file:
        json.dump({**config, "base_model_name_or_path": f"test/golden/{name}"}, file, indent=2)
        file.write("\n")
    named = [(key, parameter) for key, parameter in model.named_parameters() if parameter.requires_grad]
    chosen = [parameter for _, parameter in named]
    rows = draw_rows(name)
    golden = ragged(rows)
    with torch.no_grad():
        logits = [model(one(row)).logits for row in rows]
    golden["logits"] = torch.cat([found if found.dim() == 2 else found[0] for found in logits])
    losses = list(losses_of(model, name, rows))
    golden["losses"] = torch.stack([loss.detach() for loss in losses])
    for index, loss in enumerate(losses):
        for (key, _), part in zip(named, torch.autograd.grad(loss, chosen, retain_graph=True)):
            assert part.abs().max() > 0, key
            golden[f"gradient.{index}.{key.replace('.default', '').replace('.modules_to_save', '')}"] = part
    if name in WITH_INFLUENCE:
        influence(model, name, chosen, golden)
    write(os.path.join(path, "golden.safetensors"), golden)
    total = sum(os.path.getsize(os.path.join(path, file)) for file in os.listdir(path))
    print(f"{name}: {total / 1000:.0f} kB, {len(named)} tensors, losses {golden['losses'].tolist()}")


if __name__ == "__main__":
    for name in CASES:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # the others cannot be differentiated twice
            case(name)
