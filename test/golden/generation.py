"""Writes generation/CASE.safetensors: greedy continuations with units of the first layer changed, one full forward in fp64 for every token.

    python test/golden/generation.py

Units are changed at the prompt's last token and at every later one; earlier tokens keep theirs. The longest prompts fill all positions.
"""

import os

import numpy
import torch

from families import HERE, POSITIONS, attention_output, blocks, down_projection, draw_rows, one, open_case, ragged, seed_of, write

CASES = ("gpt2", "opt", "bloom-odd-heads", "qwen3")
TOKENS = 8
LENGTHS = (POSITIONS - TOKENS + 1, 11, POSITIONS - TOKENS + 1, 1, 14)
KINDS = ("suppressed", "scaled", "replaced", "keptOnly")
NEURONS, HEADS, FACTOR = 15, 1, -2.5
MARGIN = 2e-4  # of the best logit over the next: fp32, wrong by 1e-5 at most, must not turn it


def module_of(model, site, layer=0):
    block = blocks(model)[layer]
    return attention_output(block) if site == "heads" else down_projection(block)


def continuation(model, prompt, edits, changed_positions):
    """`edits` maps (site, layer) to what becomes of its values [position, feature]; `changed_positions` a length to the changed positions."""
    row = [int(token) for token in prompt]
    for _ in range(TOKENS):
        def edited(inputs, edit, positions=changed_positions(len(row))):
            values = inputs[0].reshape(len(row), -1).clone()
            values[positions] = edit(values[positions])
            return (values.reshape(inputs[0].shape),)
        handles = [module_of(model, *place).register_forward_pre_hook(lambda _, inputs, edit=edit: edited(inputs, edit)) for place, edit in edits.items()]
        with torch.no_grad():
            logits = model(one(row)).logits[0, -1]
        for handle in handles:
            handle.remove()
        best, second = logits.topk(2).values
        assert best - second > MARGIN, f"two tokens {best - second} apart"
        row.append(int(logits.argmax()))
    return row[len(prompt):]


def edits_of(model, kind, masks, replacements):
    def edit(mask, replacement):
        changed = {
            "suppressed": lambda values: torch.where(mask, 0, values),
            "scaled": lambda values: torch.where(mask, FACTOR * values, values),
            "replaced": lambda values: torch.where(mask, replacement, values),
            "keptOnly": lambda values: torch.where(mask, values, 0),
        }
        return changed[kind]
    edits = {(site, 0): edit(mask, replacements[site][0].double()) for site, mask in masks.items()}
    if kind == "keptOnly":  # of all layers, and no unit of the others is kept
        edits.update({(site, layer): torch.zeros_like for site in masks for layer in range(1, len(blocks(model)))})
    return edits


def width_of(model, site):
    module = module_of(model, site)
    return module.weight.shape[0 if type(module).__name__ == "Conv1D" else 1]


def draw_units(model, generator):
    """Units of the first layer by site, and their features."""
    heads = model.config.num_attention_heads
    units, masks = {}, {}
    for site in ("neurons", "heads"):
        width = width_of(model, site)
        count, chosen = (heads, HEADS) if site == "heads" else (width, NEURONS)
        units[site] = generator.choice(count, chosen, replace=False).astype(numpy.int32)
        mask = torch.zeros(count, dtype=torch.bool)
        mask[torch.from_numpy(units[site]).long()] = True
        masks[site] = mask.repeat_interleave(width // count)
    return units, masks


def make(case):
    model = open_case(case, torch.float64)
    prompts = draw_rows("prompts of " + case, LENGTHS)
    generator = numpy.random.default_rng(seed_of("units of " + case))
    replacements = {site: torch.from_numpy(generator.normal(size=(len(blocks(model)), width_of(model, site))).astype(numpy.float32)) for site in ("neurons", "heads")}
    golden = {name: [] for name in ("neurons", "heads", "before", *KINDS)}
    told = {"at the last token alone": 0, "at every token": 0}  # continuations that tell these rules from ours
    for prompt in prompts:
        units, masks = draw_units(model, generator)
        for site in units:
            golden[site].append(units[site].tolist())
        def changed(kind, positions=lambda length: slice(len(prompt) - 1, length)):
            return continuation(model, prompt, edits_of(model, kind, masks, replacements), positions)
        golden["before"].append(continuation(model, prompt, {}, lambda length: slice(0)))
        for kind in KINDS:
            golden[kind].append(changed(kind))
            told["at the last token alone"] += golden[kind][-1] != changed(kind, lambda length: slice(length - 1, length))
            told["at every token"] += golden[kind][-1] != changed(kind, lambda length: slice(0, length))
    differing = {kind: sum(a != b for a, b in zip(golden["before"], golden[kind])) for kind in KINDS}
    assert all(told.values()) and all(differing.values()), (told, differing)
    print(f"{case}: of {len(prompts)} continuations {differing} differ; told from changes {told}")
    write(os.path.join(HERE, "generation", case + ".safetensors"), {
        **ragged(prompts), **{name: torch.tensor(found, dtype=torch.int32) for name, found in golden.items()},
        **{"replacement." + site: values for site, values in replacements.items()}, "factor": torch.tensor([FACTOR]),
    })


if __name__ == "__main__":
    for case in CASES:
        make(case)
