"""Writes neuron/CASE.safetensors: neuron scores the slow and obvious way, one full forward and backward per layer and node, in fp64.

    python test/golden/neuron.py [CASE...]

Only the readout (last) position of the site is changed; everything above it is recomputed. F is the probability of the predicted class,
choice or next token of the unchanged model. Of a choice only the predicted choice's row is changed; the other rows keep their scores.
"""

import os
import sys

import numpy
import torch

from families import HERE, attention_output, blocks, down_projection, draw_rows, exposed, one, open_case, ragged, up_projection, write

WHOLE = ("opt-classification", "llama", "gpt-neox", "bloom", "gpt2")
# In fp32 for size, but for F, of which small differences are taken.
COMPACT = (
    "opt", "opt-post-norm-projected", "bloom-odd-heads", "gpt-neox-sequential", "llama-gqa", "mistral", "qwen2", "qwen3",
    "gpt2-scaled", "opt-no-bias", "llama-llama3", "llama-dynamic", "mistral-window", "qwen2-yarn", "gemma", "gemma2", "gemma3-text",
    "phi3", "phi", "olmo", "olmo2", "smollm3", "granite", "falcon", "falcon-new", "falcon-sequential", "gptj", "stablelm",
    "stablelm-parallel", "gpt-bigcode", "cohere", "olmo3", "mixtral", "qwen2-moe", "qwen3-moe", "olmoe",
    "gpt-neox-classification", "bloom-classification", "llama-classification", "gpt2-classification", "gpt-neox-choice",
)
TARGETS = ("targetValues", "baselineTarget", "ablation", "nodes", "weights")
CHOICES = {"gpt-neox-choice": (3, 2)}  # rows of each instance
CHOICE_ROWS = (9, 5, 12, 7, 4)
GATED = ("llama", "mistral", "mixtral", "qwen", "gemma", "phi3", "olmo", "smollm3", "granite", "stablelm", "cohere")
NODES = 20
CONDUCTANCE_NODES = 21
SETS, SET_SIZE = 3, {"neurons": 5, "heads": 2}


def gauss_legendre(count):
    nodes, weights = numpy.polynomial.legendre.leggauss(count)
    return torch.tensor((nodes + 1) / 2), torch.tensor(weights / 2)


class Probe:
    """One instance of one model, a row or the rows of a choice: F with the readout values of a site replaced."""

    def __init__(self, model, rows):
        self.model, self.layers = model, blocks(model)
        self.choices = None
        found = []
        for self.row in rows:
            found.append(self.logits(1).detach())
        logits = torch.cat(found, 1) if len(rows) > 1 else found[0]
        self.label = int(logits.argmax())
        self.value = float(logits.softmax(-1)[0, self.label])
        if len(rows) > 1:
            self.row, self.choices = rows[self.label], logits

    def modules(self, site):
        if site == "preActivation":
            return [up_projection(block) for block in self.layers]
        return [down_projection(block) if site == "neurons" else attention_output(block) for block in self.layers]

    def logits(self, copies):
        found = self.model(one(self.row).repeat(copies, 1)).logits
        if self.choices is None:
            return found[:, -1] if found.dim() == 3 else found
        return torch.cat([found if i == self.label else self.choices[:, i : i + 1].expand(copies, 1) for i in range(self.choices.shape[1])], 1)

    def probability(self, copies=1):
        return self.logits(copies).softmax(-1)[:, self.label]

    def hooked(self, site, layer, change, copies=1):
        """`change` sees the readout values [copy, feature] and returns what replaces them."""
        return self.all_hooked(site, {layer: change}, copies)

    def all_hooked(self, site, changes, copies=1):
        handles = []
        for layer, change in changes.items():
            def edit(values, change=change):
                shaped = values.reshape(copies, len(self.row), -1)
                return torch.cat([shaped[:, :-1], change(shaped[:, -1])[:, None]], 1).reshape(values.shape)
            module = self.modules(site)[layer]
            if site == "preActivation":
                handles.append(module.register_forward_hook(lambda _, inputs, output, edit=edit: edit(output)))
            else:
                handles.append(module.register_forward_pre_hook(lambda _, inputs, edit=edit: (edit(inputs[0]),)))
        try:
            return self.probability(copies)
        finally:
            for handle in handles:
                handle.remove()

    def values(self, site, layer):
        seen = []
        with torch.no_grad():
            self.hooked(site, layer, lambda value: seen.append(value[0].clone()) or value)
        return seen[0]

    def gradients(self, site, layer, points):
        """∂F at each of the given readout values [point, feature]; F there."""
        points = points.clone().requires_grad_()
        reached = self.hooked(site, layer, lambda _: points, len(points))
        return torch.autograd.grad(reached.sum(), points)[0], reached.detach()

    def replaced(self, site, layer, points):
        with torch.no_grad():
            return self.hooked(site, layer, lambda _: points, len(points))


def stacked(rows, absent=0.0):
    """Layers of different widths get the value of a unit that is not there."""
    widest = max(row.shape[-1] for row in rows) if rows[0].dim() else 0
    return torch.stack([torch.nn.functional.pad(row, (0, widest - row.shape[-1]), value=absent) if row.dim() else row for row in rows])


def per_head(features, heads):
    return features.reshape(*features.shape[:-1], heads, -1).sum(-1)


def scores_of(probe, site, heads):
    units = (lambda features: per_head(features, heads)) if site == "heads" else (lambda features: features)
    nodes, weights = gauss_legendre(NODES)
    rows = {name: [] for name in ("values", "gradient", "gradientTimesActivation", "integratedGradients", "baselineTarget", "ablation")}
    for layer in range(len(probe.layers)):
        value = probe.values(site, layer)
        gradient, reached = probe.gradients(site, layer, value[None])
        assert abs(reached.item() - probe.value) < 1e-12
        along, _ = probe.gradients(site, layer, nodes[:, None] * value)
        count = heads if site == "heads" else len(value)
        mask = (1 - torch.eye(count, dtype=torch.float64)).repeat_interleave(len(value) // count, 1)
        rows["values"].append(value)
        rows["gradient"].append(gradient[0])
        rows["gradientTimesActivation"].append(units(value * gradient[0]))
        rows["integratedGradients"].append(units(value * (weights[:, None] * along).sum(0)))
        rows["baselineTarget"].append(probe.replaced(site, layer, torch.zeros_like(value)[None])[0])
        rows["ablation"].append(probe.replaced(site, layer, mask * value))
    # Of the ablation F is kept, which a unit that is not there leaves as it is.
    return {f"{site}.{name}": stacked(found, probe.value if name == "ablation" else 0.0) for name, found in rows.items()}


def writes(probe, site, layer, heads):
    """What each unit adds to the residual, [unit, hidden]: its part of the output projection's input, projected, without the bias."""
    module, value = probe.modules(site)[layer], probe.values(site, layer)
    count = heads if site == "heads" else len(value)
    parts = torch.eye(count, dtype=torch.float64).repeat_interleave(len(value) // count, 1) * value
    with torch.no_grad():
        return (module(parts) - module(torch.zeros_like(parts))) * multiplier(probe.model)


def multiplier(model):
    """Of what attention and MLP add to the residual."""
    return getattr(model.config, "residual_multiplier", 1.0)


def residual_at(probe, site, layer):
    """The readout residual that the site's output is added to: the block's input, or its output without the MLP's."""
    seen = {}
    block = probe.layers[layer]
    handles = [
        block.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], out=output[0] if isinstance(output, tuple) else output)),
        down_projection(block).register_forward_hook(lambda _, inputs, output: seen.update(mlp=output.clone())),
    ]
    with torch.no_grad():
        probe.logits(1)
    for handle in handles:
        handle.remove()
    last = {name: value.reshape(len(probe.row), -1)[-1] for name, value in seen.items()}
    return last["x"] if site == "heads" else last["out"] - multiplier(probe.model) * last["mlp"]


def post_norm(model):
    """What a unit writes then reaches the residual, or the residual its reader, through a norm of the block."""
    return not getattr(model.config, "do_layer_norm_before", True) or model.config.model_type in ("gemma2", "gemma3_text", "olmo2", "olmo3")


def read(probe, residuals):
    """log p of the label with the last block's readout output replaced, [n]."""
    def edit(_, inputs, output):
        whole = output[0] if isinstance(output, tuple) else output
        changed = torch.cat([whole[:, :-1], residuals[:, None]], 1)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed
    handle = probe.layers[-1].register_forward_hook(edit)
    with torch.no_grad():
        found = probe.logits(len(residuals)).log_softmax(-1)[:, probe.label]
    handle.remove()
    return found


def conductance(probe, site, count):
    """The trapezoid rule along the input's path, all positions of the first block's input scaled: [layer, feature]."""
    alphas = torch.linspace(0, 1, count, dtype=torch.float64)[:, None, None]
    values = []
    # Each token keeps the experts that it goes to at the path's end.
    mixtures = [block.mlp.units for block in probe.layers if hasattr(getattr(block, "mlp", None), "units")]
    probe.logits(1)
    for units in mixtures:
        units.forced = units.chosen
    handles = [probe.layers[0].register_forward_pre_hook(lambda _, inputs: (inputs[0] * alphas, *inputs[1:]))]
    for module in probe.modules(site):
        handles.append(module.register_forward_pre_hook(lambda _, inputs: values.append(inputs[0])))
    reached = probe.probability(count)
    for handle in handles:
        handle.remove()
    for units in mixtures:
        units.forced = None
    gradients = torch.autograd.grad(reached.sum(), values)
    rows = []
    for value, gradient in zip(values, gradients):
        w, g = (x.detach().reshape(count, len(probe.row), -1)[:, -1] for x in (value, gradient))
        rows.append(((w[1:] - w[:-1]) * (g[1:] + g[:-1]) / 2).sum(0))
    return stacked(rows)


def reading_of(probe, site, heads):
    """Scores that need no path over the site: what a unit writes, and conductance."""
    rows = {"valueNorm": [], "logProbabilityIncrease": []}
    for layer in range(len(probe.layers)):
        written = writes(probe, site, layer, heads)
        rows["valueNorm"].append(written.norm(dim=-1))
        if not post_norm(probe.model):
            residual = residual_at(probe, site, layer)
            rows["logProbabilityIncrease"].append(read(probe, residual + written) - read(probe, residual[None]))
    found = {f"{site}.{name}": stacked(values) for name, values in rows.items() if values}
    through = conductance(probe, site, CONDUCTANCE_NODES)
    return {**found, f"{site}.conductance": per_head(through, heads) if site == "heads" else through}


def paper_of(probe):
    """Pre-activations, both ends of the path included, equal weights."""
    found, values = [], []
    nodes = torch.linspace(0, 1, NODES, dtype=torch.float64)
    for layer in range(len(probe.layers)):
        value = probe.values("preActivation", layer)
        along, _ = probe.gradients("preActivation", layer, nodes[:, None] * value)
        values.append(value)
        found.append(value * along.mean(0))
    return {"preActivation.values": torch.stack(values), "preActivation.paper": torch.stack(found)}


def changed_sets(probe, site, heads, generator):
    """Random sets of units over all layers: suppressed, kept alone, doubled."""
    width = max(len(probe.values(site, layer)) for layer in range(len(probe.layers)))
    count = heads if site == "heads" else width
    units = numpy.stack([generator.choice(len(probe.layers) * count, SET_SIZE[site], replace=False) for _ in range(SETS)])
    rows = {"suppressed": [], "keptOnly": [], "doubled": []}
    for chosen in units:
        inside = torch.zeros(len(probe.layers) * count, dtype=torch.float64)
        inside[torch.from_numpy(chosen)] = 1
        inside = inside.reshape(len(probe.layers), count).repeat_interleave(width // count, 1)
        for name, factor in (("suppressed", 1 - inside), ("keptOnly", inside), ("doubled", 1 + inside)):
            changes = {layer: (lambda value, factor=factor[layer]: value * factor[: value.shape[-1]]) for layer in range(len(probe.layers))}
            with torch.no_grad():
                rows[name].append(probe.all_hooked(site, changes)[0])
    return {f"{site}.sets": torch.tensor(units, dtype=torch.int32), **{f"{site}.{name}": torch.stack(found) for name, found in rows.items()}}


def instances_of(case):
    """[instance][row]"""
    if case not in CHOICES:
        return [[row] for row in draw_rows("neurons of " + case)]
    rows = iter(draw_rows("neurons of " + case, CHOICE_ROWS))
    return [[next(rows) for _ in range(count)] for count in CHOICES[case]]


def stored(name, value, case):
    compact = case in COMPACT and value.dtype == torch.float64 and name.split(".")[-1] not in TARGETS
    return value.float() if compact else value


def make(case):
    model = open_case(case, torch.float64)
    with exposed(model):
        write_case(case, model)


def write_case(case, model):
    instances = instances_of(case)
    heads = model.config.num_attention_heads
    golden, labels, values = {}, [], []
    for index, rows in enumerate(instances):
        probe = Probe(model, rows)
        labels.append(probe.label)
        values.append(probe.value)
        generator = numpy.random.default_rng(index)
        found = {**scores_of(probe, "neurons", heads), **scores_of(probe, "heads", heads)}
        found.update({**changed_sets(probe, "neurons", heads, generator), **changed_sets(probe, "heads", heads, generator)})
        found.update({**reading_of(probe, "neurons", heads), **reading_of(probe, "heads", heads)})
        if not case.startswith(GATED):
            found.update(paper_of(probe))
        for name, value in found.items():
            golden.setdefault(name, []).append(value)
    golden = {name: torch.stack(found) for name, found in golden.items()}
    golden["targetValues"] = torch.tensor(values, dtype=torch.float64)
    golden["targetLabels"] = torch.tensor(labels, dtype=torch.int32)
    gaps = [(golden[f"{site}.integratedGradients"].sum(-1) - (golden["targetValues"][:, None] - golden[f"{site}.baselineTarget"])).abs().max() for site in ("neurons", "heads")]
    print(f"{case}: F {[round(value, 3) for value in values]}, completeness gaps {gaps[0]:.1e} {gaps[1]:.1e}")
    nodes, weights = gauss_legendre(NODES)
    tensors = {**ragged([row for rows in instances for row in rows]), "nodes": nodes, "weights": weights, **golden}
    if case in CHOICES:
        tensors["groupOffsets"] = torch.tensor(numpy.cumsum([0, *CHOICES[case]]), dtype=torch.int32)
    write(os.path.join(HERE, "neuron", case + ".safetensors"), {name: stored(name, value, case) for name, value in tensors.items()})


if __name__ == "__main__":
    for case in sys.argv[1:] or WHOLE + COMPACT:
        make(case)
